package cni

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containernetworking/cni/libcni"

	"github.com/swarmnet/swarmnet/driver"
)

// record is one attachment: written before ADD and removed after DEL, so that whatever happens between the two, DEL is called as ADD was.
type record struct {
	Sandbox, Interface string
	Netns              string
	Wish               driver.Wish
}

func (d *Driver) dir(sandbox string) string { return filepath.Join(d.cfg.Dir, "attachments", sandbox) }

func (d *Driver) file(sandbox, ifname string) string {
	return filepath.Join(d.dir(sandbox), ifname+".json")
}

// write keeps a record, whole or not at all.
func (d *Driver) write(r record) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = os.MkdirAll(d.dir(r.Sandbox), 0o700)
	}
	path := d.file(r.Sandbox, r.Interface)
	if err == nil {
		err = writeSynced(path+".new", b)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("the attachment of %s cannot be noted: %w", r.Interface, err)
	}
	return nil
}

// writeSynced writes a file that outlasts a power cut: an address that a plugin keeps on its disk is to be given back after one.
func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// read returns the record of an interface; there is none: false.
func (d *Driver) read(sandbox, ifname string) (record, bool, error) {
	b, err := os.ReadFile(d.file(sandbox, ifname))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, false, nil
	}
	var r record
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err == nil, err
}

// forget removes a record, and the sandbox's directory with the last.
func (d *Driver) forget(r record) error {
	if err := os.Remove(d.file(r.Sandbox, r.Interface)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	os.Remove(d.dir(r.Sandbox)) // fails unless it is empty
	return nil
}

// records are those of one sandbox.
func (d *Driver) records(sandbox string) ([]record, error) {
	files, err := filepath.Glob(filepath.Join(d.dir(sandbox), "*.json"))
	if err != nil {
		return nil, err
	}
	var out []record
	for _, f := range files {
		name := filepath.Base(f)
		r, ok, err := d.read(sandbox, name[:len(name)-len(".json")])
		if err != nil {
			return out, fmt.Errorf("the note of an attachment is damaged: %w", err)
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

// Sandboxes are those with an attachment, or with one that could not be taken away.
func (d *Driver) Sandboxes() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(d.cfg.Dir, "attachments"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out, err
}

// runtime is how plugins are called for an attachment.
func (r record) runtime() *libcni.RuntimeConf {
	rt := &libcni.RuntimeConf{ContainerID: r.Sandbox, NetNS: r.Netns, IfName: r.Interface, CapabilityArgs: map[string]any{}}
	w := r.Wish
	if len(w.Ports) > 0 {
		var maps []portMapping
		for _, p := range w.Ports {
			m := portMapping{HostPort: p.Published, ContainerPort: p.Target, Protocol: p.Protocol.String()}
			if p.HostIP.IsValid() {
				m.HostIP = p.HostIP.String()
			}
			maps = append(maps, m)
		}
		rt.CapabilityArgs[driver.CapPorts] = maps
	}
	if len(w.Addrs) > 0 {
		var ips []string
		for _, a := range w.Addrs {
			ips = append(ips, a.String())
		}
		rt.CapabilityArgs[driver.CapIPs] = ips
	}
	if !w.MAC.IsZero() {
		rt.CapabilityArgs[driver.CapMAC] = w.MAC.String()
	}
	return rt
}

// portMapping is one of the capability portMappings (the CNI project's CONVENTIONS.md).
type portMapping struct {
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP,omitempty"`
}
