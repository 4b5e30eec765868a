// Puts connections before the engine of kube-network-policies: a line of JSON is a cluster with its
// connections, a line of answers comes back.
//
// Its engine is a method that its controller keeps to itself, so the linker is asked for it by name; it
// reads its informers' stores, which are filled here with no server behind them.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	_ "unsafe"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
	"sigs.k8s.io/network-policy-api/apis/v1alpha1"
	npafake "sigs.k8s.io/network-policy-api/pkg/client/clientset/versioned/fake"
	npainformers "sigs.k8s.io/network-policy-api/pkg/client/informers/externalversions"
)

// As the module lays it out.
type packet struct {
	id               uint32
	family           v1.IPFamily
	srcIP, dstIP     net.IP
	proto            v1.Protocol
	srcPort, dstPort int
	payload          []byte
}

//go:linkname evaluate sigs.k8s.io/kube-network-policies/pkg/networkpolicy.(*Controller).evaluatePacket
func evaluate(c *networkpolicy.Controller, ctx context.Context, p packet) bool

type flow struct {
	Source, Destination, Protocol string
	Port                          int
}

type question struct {
	Objects []json.RawMessage
	Flows   []flow
}

func main() {
	klog.LogToStderr(false)
	klog.SetOutput(discard{})
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<30)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		answers, err := answer(input.Bytes())
		if err != nil {
			output.Encode(map[string]any{"error": err.Error()})
			continue
		}
		output.Encode(map[string]any{"answers": answers})
	}
}

type discard struct{}

func (discard) Write(text []byte) (int, error) { return len(text), nil }

func answer(line []byte) (answers []string, err error) {
	var asked question
	if err = json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	controller, err := controllerOf(asked.Objects)
	if err != nil {
		return nil, err
	}
	for _, f := range asked.Flows {
		answers = append(answers, one(controller, f))
	}
	return answers, nil
}

func one(controller *networkpolicy.Controller, f flow) (answer string) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = fmt.Sprintf("error: panic: %v", reason)
		}
	}()
	family := v1.IPv4Protocol
	source, destination := net.ParseIP(f.Source), net.ParseIP(f.Destination)
	if source.To4() == nil {
		family = v1.IPv6Protocol
	}
	p := packet{
		family: family, srcIP: source, dstIP: destination, proto: v1.Protocol(f.Protocol),
		srcPort: 40000, dstPort: f.Port,
	}
	if evaluate(controller, context.Background(), p) {
		return "allow"
	}
	return "deny"
}

func controllerOf(objects []json.RawMessage) (*networkpolicy.Controller, error) {
	client, npaClient := fake.NewClientset(), npafake.NewSimpleClientset()
	core := informers.NewSharedInformerFactory(client, 0)
	admin := npainformers.NewSharedInformerFactory(npaClient, 0)
	policies := core.Networking().V1().NetworkPolicies()
	namespaces, pods, nodes := core.Core().V1().Namespaces(), core.Core().V1().Pods(), core.Core().V1().Nodes()
	anps := admin.Policy().V1alpha1().AdminNetworkPolicies()
	banps := admin.Policy().V1alpha1().BaselineAdminNetworkPolicies()
	controller, err := networkpolicy.NewController(
		client, policies, namespaces, pods, nodes, npaClient, anps, banps,
		networkpolicy.Config{
			NodeName: "none", AdminNetworkPolicy: true, BaselineAdminNetworkPolicy: true,
		},
	)
	if err != nil {
		return nil, err
	}
	for _, text := range objects {
		var head struct{ Kind string }
		if err := json.Unmarshal(text, &head); err != nil {
			return nil, err
		}
		var object any
		store := namespaces.Informer().GetStore()
		switch head.Kind {
		case "Namespace":
			object = &v1.Namespace{}
		case "Node":
			object, store = &v1.Node{}, nodes.Informer().GetStore()
		case "Pod":
			object, store = &v1.Pod{}, pods.Informer().GetStore()
		case "NetworkPolicy":
			object, store = &networkingv1.NetworkPolicy{}, policies.Informer().GetStore()
		case "AdminNetworkPolicy":
			object, store = &v1alpha1.AdminNetworkPolicy{}, anps.Informer().GetStore()
		case "BaselineAdminNetworkPolicy":
			object, store = &v1alpha1.BaselineAdminNetworkPolicy{}, banps.Informer().GetStore()
		default:
			return nil, fmt.Errorf("kind %s is not known", head.Kind)
		}
		if err := json.Unmarshal(text, object); err != nil {
			return nil, err
		}
		if err := store.Add(object); err != nil {
			return nil, err
		}
	}
	return controller, nil
}
