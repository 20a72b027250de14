// Package cni is the driver whose interfaces CNI plugins make (the CNI specification, github.com/containernetworking/cni, SPEC.md):
// whatever is in the ecosystem plugs in. A network is one configuration list, read once when the network is made; ADD and DEL are called
// for each endpoint, CHECK when a daemon finds one that an earlier daemon made.
package cni

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/utils"

	"github.com/swarmnet/swarmnet"
	"github.com/swarmnet/swarmnet/driver"
)

const (
	defaultBinDir = "/opt/cni/bin"
	// askTimeout bounds how long plugins may take to say which versions they know.
	askTimeout = 5 * time.Second
)

// BinDirs are the directories in which plugins are looked for: those of the network's option, else of the environment's CNI_PATH, else the
// usual one.
func BinDirs(option string) []string {
	for _, list := range []string{option, os.Getenv("CNI_PATH")} {
		if dirs := filepath.SplitList(list); len(dirs) > 0 {
			return dirs
		}
	}
	return []string{defaultBinDir}
}

// Load reads the configuration that a network's options name, and checks that it can be used: it parses, its plugins are there and know its
// version. It returns the list as one line of JSON with everything in it, so that later changes of files change nothing.
func Load(ctx context.Context, spec swarmnet.NetworkSpec) (string, error) {
	path := spec.Options[driver.Conf]
	wrong := func(format string, args ...any) (string, error) {
		return "", &driver.Refusal{Text: fmt.Sprintf("CNI configuration %s: ", path) + oneLine(fmt.Errorf(format, args...))}
	}
	if !filepath.IsAbs(path) {
		return wrong("a path that begins with / is wanted, since the daemon reads it")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return wrong("%w: name a file that the daemon can read", unwrapPath(err))
	}
	list, err := parse(b, path)
	if err != nil {
		return wrong("%w", err)
	}
	if err := utils.ValidateNetworkName(list.Name); err != nil {
		return wrong("it needs a name of letters, digits, - _ and . (%s)", err.Error())
	}
	dirs := BinDirs(spec.Options[driver.BinDir])
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	for _, p := range list.Plugins {
		if _, err := exec().FindInPath(p.Network.Type, dirs); err != nil {
			return wrong("plugin %q is not in %s: install it there, or name its directory with --opt %s=DIR", p.Network.Type, strings.Join(dirs, ", "), driver.BinDir)
		}
	}
	if _, err := libcni.NewCNIConfig(dirs, exec()).ValidateNetworkList(ctx, list); err != nil {
		return wrong("%w", err)
	}
	return flatten(list)
}

// parse reads a list, or the configuration of one plugin, which is a list of one.
func parse(b []byte, path string) (*libcni.NetworkConfigList, error) {
	var kind struct {
		Plugins json.RawMessage
		Type    string
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if kind.Plugins == nil && kind.Type != "" {
		one, err := libcni.NetworkPluginConfFromBytes(b)
		if err != nil {
			return nil, err
		}
		return list(one)
	}
	if path == "" {
		return libcni.NetworkConfFromBytes(b)
	}
	return libcni.NetworkConfFromFile(path) // with the plugins that are in files beside it
}

func list(one *libcni.PluginConfig) (*libcni.NetworkConfigList, error) {
	b, err := json.Marshal(map[string]any{
		"name": one.Network.Name, "cniVersion": one.Network.CNIVersion, "plugins": []json.RawMessage{one.Bytes},
	})
	if err != nil {
		return nil, err
	}
	return libcni.NetworkConfFromBytes(b)
}

// flatten writes a list with all its plugins in it.
func flatten(l *libcni.NetworkConfigList) (string, error) {
	all := map[string]any{}
	if err := json.Unmarshal(l.Bytes, &all); err != nil {
		return "", err
	}
	plugins := make([]json.RawMessage, len(l.Plugins))
	for i, p := range l.Plugins {
		plugins[i] = p.Bytes
	}
	all["cniVersion"], all["plugins"], all["loadOnlyInlinedPlugins"] = l.CNIVersion, plugins, true
	delete(all, "cniVersions")
	b, err := json.Marshal(all)
	return string(b), err
}

// unwrapPath leaves out of an error the path that its reader knows.
func unwrapPath(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }
