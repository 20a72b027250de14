package process

import (
	"errors"
	"fmt"
	"math"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// credential is who a command runs as: NAME|UID[:GROUP|GID] of this host's users; nil: as the shim does. Without a group it has those of
// the user. The environment gets the user's HOME and USER where it has none of its own.
func credential(spec string, env []string) (*syscall.Credential, []string, error) {
	if spec == "" {
		return nil, env, nil
	}
	name, group, hasGroup := strings.Cut(spec, ":")
	uid, isNumber := id(name)
	c := &syscall.Credential{Uid: uid}
	u, err := user.Lookup(name)
	if err != nil && isNumber {
		u, err = user.LookupId(name)
	}
	switch {
	case err == nil:
		if err := ofUser(c, u); err != nil {
			return nil, nil, err
		}
		env = overlayEnv([]string{"USER=" + u.Username}, withHome(env, u.HomeDir))
	case !isNumber:
		return nil, nil, fmt.Errorf("this node has no user %q", name)
	}
	if hasGroup {
		gid, isNumber := id(group)
		if g, err := user.LookupGroup(group); err == nil {
			gid, _ = id(g.Gid)
		} else if !isNumber {
			return nil, nil, fmt.Errorf("this node has no group %q", group)
		}
		c.Gid, c.Groups = gid, nil
	}
	return c, env, nil
}

// ofUser fills in the user's number and groups.
func ofUser(c *syscall.Credential, u *user.User) error {
	uid, ok := id(u.Uid)
	gid, ok2 := id(u.Gid)
	if !ok || !ok2 {
		return errors.New("the numbers of user " + u.Username + " are not usable")
	}
	c.Uid, c.Gid = uid, gid
	groups, err := u.GroupIds()
	if err != nil {
		return nil // the first group alone, then
	}
	for _, g := range groups {
		if n, ok := id(g); ok {
			c.Groups = append(c.Groups, n)
		}
	}
	return nil
}

// withHome replaces the HOME that every environment has, unless somebody asked for another.
func withHome(env []string, home string) []string {
	out := make([]string, 0, len(env))
	for _, kv := range env {
		if kv == "HOME=/root" {
			kv = "HOME=" + home
		}
		out = append(out, kv)
	}
	return out
}

func id(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n < math.MaxUint32 // which means: none
}
