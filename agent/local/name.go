package local

import (
	"fmt"
	"strings"

	"github.com/swarmnet/swarmnet"
)

const (
	adjectives = "able bold brave bright calm clear clever cool deft eager fair fast fine firm fond fresh glad grand keen kind light lively merry mild neat nimble proud quick quiet ready sharp smart solid steady swift tidy vivid warm wise witty"
	nouns      = "ant badger bat bear bee bison crab crane crow deer dove duck eagle elk falcon finch fox frog gull hare hawk heron ibis jay lark lion lynx mole moose moth newt otter owl panda puma raven robin seal shrew snail stork swan tapir tern tiger toad trout vole wasp whale wolf wren yak"
)

// ChooseName gives a sandbox without a name one that nobody has; the same id in the same state gets the same name.
func (s State) ChooseName(id swarmnet.TaskID) string {
	taken := map[string]bool{}
	for _, sb := range s.Sandboxes {
		taken[sb.Spec.Name] = true
	}
	first, second := strings.Fields(adjectives), strings.Fields(nouns)
	for i := 0; ; i++ {
		h := swarmnet.DeriveID("name", string(id), fmt.Sprint(i))
		name := pick(first, h[:12]) + "-" + pick(second, h[12:])
		if i > 10 {
			name += "-" + h[:6]
		}
		if !taken[name] {
			return name
		}
	}
}

func pick(words []string, hash string) string {
	n := uint64(0)
	for _, c := range []byte(hash) {
		n = n*131 + uint64(c)
	}
	return words[n%uint64(len(words))]
}
