// The suite of the cluster tiers is built from where it is published; this keeps it in go.mod.
package cluster

import _ "sigs.k8s.io/network-policy-api/conformance"
