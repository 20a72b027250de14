package swarmnet

import (
	"fmt"
	"strings"
)

// Constraint is one condition on the nodes that may run a task: KEY==VALUE or KEY!=VALUE. Values are compared without
// regard to case, as Docker does it.
type Constraint struct {
	Key   string // "node.id", "node.hostname", "node.name", "node.role", "node.platform.os", "node.platform.arch", "node.labels.NAME"
	Not   bool
	Value string
}

const labelPrefix = "node.labels."

// ParseConstraint reads one constraint as `service create --constraint` takes it.
func ParseConstraint(s string) (Constraint, error) {
	// The first operator counts: a value may hold another.
	at, not := strings.Index(s, "=="), false
	if ne := strings.Index(s, "!="); ne >= 0 && (at < 0 || ne < at) {
		at, not = ne, true
	}
	if at < 0 {
		return Constraint{}, fmt.Errorf("constraint %q has neither == nor !=: write it like node.role==worker", s)
	}
	c := Constraint{Key: strings.TrimSpace(s[:at]), Not: not, Value: strings.TrimSpace(s[at+2:])}
	switch c.Key {
	case "node.id", "node.hostname", "node.name", "node.role", "node.platform.os", "node.platform.arch":
	default:
		if !strings.HasPrefix(c.Key, labelPrefix) || len(c.Key) == len(labelPrefix) {
			return Constraint{}, fmt.Errorf("constraint %q asks for the unknown key %q: node.id, node.hostname, node.name, node.role, node.platform.os, node.platform.arch and node.labels.NAME are known", s, c.Key)
		}
	}
	if c.Value == "" {
		return Constraint{}, fmt.Errorf("constraint %q has no value: write it like node.role==worker", s)
	}
	return c, nil
}

func (c Constraint) String() string {
	if c.Not {
		return c.Key + "!=" + c.Value
	}
	return c.Key + "==" + c.Value
}

// Match reports whether a node meets the constraint.
func (c Constraint) Match(n Node) bool { return strings.EqualFold(c.value(n), c.Value) != c.Not }

func (c Constraint) value(n Node) string {
	switch c.Key {
	case "node.id":
		return string(n.ID)
	case "node.hostname":
		return n.Description.Hostname
	case "node.name":
		return n.Name()
	case "node.role":
		return n.Role.String()
	case "node.platform.os":
		return n.Description.OS
	case "node.platform.arch":
		return n.Description.Arch
	}
	return n.Spec.Labels[strings.TrimPrefix(c.Key, labelPrefix)]
}
