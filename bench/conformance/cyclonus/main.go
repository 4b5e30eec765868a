// Puts connections before the matcher of cyclonus: a line of JSON is a cluster with its connections, a
// line of answers comes back.
//
// The matcher knows pods by their labels, so the pod at an address, the labels of its namespace and the
// name that it gives the port are looked up here, as cyclonus's own probe does.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

type flow struct {
	Source, Destination, Protocol string
	Port                          int
}

type question struct {
	Objects []json.RawMessage
	Flows   []flow
}

type cluster struct {
	namespaces map[string]map[string]string
	pods       map[string]*v1.Pod
	policies   []*networkingv1.NetworkPolicy
}

func main() {
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

func answer(line []byte) (answers []string, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
		}
	}()
	var asked question
	if err = json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	there, err := clusterOf(asked.Objects)
	if err != nil {
		return nil, err
	}
	policy := matcher.BuildNetworkPolicies(true, there.policies)
	for _, f := range asked.Flows {
		answers = append(answers, one(policy, there, f))
	}
	return answers, nil
}

func one(policy *matcher.Policy, there cluster, f flow) (answer string) {
	defer func() {
		if reason := recover(); reason != nil {
			answer = fmt.Sprintf("error: panic: %v", reason)
		}
	}()
	traffic := &matcher.Traffic{
		Source: there.peer(f.Source), Destination: there.peer(f.Destination),
		ResolvedPort: f.Port, ResolvedPortName: there.portName(f), Protocol: v1.Protocol(f.Protocol),
	}
	if policy.IsTrafficAllowed(traffic).IsAllowed() {
		return "allow"
	}
	return "deny"
}

func (c cluster) peer(address string) *matcher.TrafficPeer {
	peer := &matcher.TrafficPeer{IP: address}
	if pod := c.pods[address]; pod != nil {
		peer.Internal = &matcher.InternalPeer{
			PodLabels: pod.Labels, NamespaceLabels: c.namespaces[pod.Namespace], Namespace: pod.Namespace,
		}
	}
	return peer
}

func (c cluster) portName(f flow) string {
	if pod := c.pods[f.Destination]; pod != nil {
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if int(port.ContainerPort) == f.Port && string(port.Protocol) == f.Protocol {
					return port.Name
				}
			}
		}
	}
	return ""
}

func clusterOf(objects []json.RawMessage) (cluster, error) {
	found := cluster{namespaces: map[string]map[string]string{}, pods: map[string]*v1.Pod{}}
	for _, text := range objects {
		var head struct{ Kind string }
		if err := json.Unmarshal(text, &head); err != nil {
			return found, err
		}
		var err error
		switch head.Kind {
		case "Namespace":
			namespace := &v1.Namespace{}
			err = json.Unmarshal(text, namespace)
			found.namespaces[namespace.Name] = namespace.Labels
		case "Node":
		case "Pod":
			pod := &v1.Pod{}
			err = json.Unmarshal(text, pod)
			for _, ip := range pod.Status.PodIPs {
				found.pods[ip.IP] = pod
			}
		case "NetworkPolicy":
			policy := &networkingv1.NetworkPolicy{}
			err = json.Unmarshal(text, policy)
			found.policies = append(found.policies, policy)
		default:
			err = fmt.Errorf("kind %s is not known", head.Kind)
		}
		if err != nil {
			return found, err
		}
	}
	return found, nil
}
