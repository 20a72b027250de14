package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// helpText is what a command's help says beyond a line. Commands whose differences from docker are many have theirs beside their flags.
type helpText struct{ long, example string }

var helpTexts = map[string]helpText{
	"swarmnet": {long: `A network control plane for clusters of hosts.

The commands of sandboxes have no noun, as docker's of containers (run, ps, exec, …); networks, services, nodes and the cluster have one.
` + "`swarmnet lab up`" + ` makes a cluster on this machine alone, to try it.`},
	"network": {long: `Manage networks: those of this node (bridge, macvlan, cni) and those of its cluster (overlay).`},

	"cluster": {long: `Make, join and leave a cluster of hosts, and change its settings: docker swarm's verbs.`},
	"cluster init": {`Make a cluster with this node as its first manager.

As docker swarm init; pools for subnets may be repeated and changed later with ` + "`cluster update`" + `. Sandboxes and networks of this node
stay as they are.`, "  swarmnet cluster init --advertise-addr 192.0.2.1\n  swarmnet cluster init --default-addr-pool 10.64.0.0/10 --data-path-port 7777"},
	"cluster join": {`Join this node to a cluster, as what the token says: worker or manager. One manager's address is enough; without a port, 4747 is meant.

As docker swarm join, which takes one address only.`, "  swarmnet cluster join --token TOKEN 192.0.2.1:4747"},
	"cluster leave": {`Take this node out of its cluster. The tasks and networks of the cluster go; what is the node's own stays.

As docker swarm leave.`, "  swarmnet cluster leave\n  swarmnet cluster leave --force"},
	"cluster info": {`Show this node's part in its cluster; on a node that is in none, that.

As the Swarm part of docker info.`, "  swarmnet cluster info\n  swarmnet cluster info --format '{{.State}} {{.Role}}'"},
	"cluster join-token": {`Show the command with which a worker or manager joins, or with --rotate replace its token: the old one is void then.

As docker swarm join-token.`, "  swarmnet cluster join-token worker\n  swarmnet cluster join-token -q --rotate manager"},
	"cluster update": {`Change the cluster's settings; what is not said stays. Pools count for subnets that are chosen from now on.

As docker swarm update.`, "  swarmnet cluster update --cert-expiry 48h\n  swarmnet cluster update --default-addr-pool 10.128.0.0/12"},
	"cluster admin-cert": {`Write a certificate, its key and the cluster's root into a new directory. With it --host HOST:PORT and --cert-path administer the
cluster from elsewhere. Docker has no such command.`, "  swarmnet cluster admin-cert -o ~/.swarmnet\n  swarmnet --host 192.0.2.1:4747 --cert-path ~/.swarmnet node ls"},

	"node": {long: `Manage the nodes of the cluster. A node is named by id, hostname, or the beginning of an id; self is the one that is asked.`},
	"node ls": {`List the nodes; * marks the one that is asked.

As docker node ls; the name filter takes the beginning of a name.`, "  swarmnet node ls --filter role=manager\n  swarmnet node ls --format '{{.Hostname}} {{.Status}}'"},
	"node inspect": {`Show nodes in full: a JSON array.

As docker node inspect, with fields of swarmnet's own.`, "  swarmnet node inspect --pretty self\n  swarmnet node inspect --format '{{.Status.State}}' n1"},
	"node ps": {`List the tasks of nodes, those that have ended too.

As docker node ps.`, "  swarmnet node ps\n  swarmnet node ps n1 n2 --filter desired-state=running"},
	"node update": {`Change a node's settings; what is not said stays. pause gives it no more tasks, drain takes those that it has elsewhere.

As docker node update; --node-name is swarmnet's own.`, "  swarmnet node update --availability drain n2\n  swarmnet node update --label-add zone=a n1"},
	"node promote": {`Make nodes managers.

As docker node promote; one after the other, since each changes who decides.`, "  swarmnet node promote n2 n3"},
	"node demote": {`Make nodes workers. The last manager, and one without which too few would be left, is refused.

As docker node demote; one after the other, since each changes who decides.`, "  swarmnet node demote n3"},
	"node rm": {`Remove nodes that are down from the cluster. They cannot come back with their old certificates.

As docker node rm.`, "  swarmnet node rm n3\n  swarmnet node rm --force n3"},

	"service": {long: `Manage services: tasks that the cluster keeps running, found by one name and balanced over.`},
	"service create": {`Create a service whose tasks run COMMAND, a program of the nodes, and wait until they run.

While it waits, it shows how many run and what is wrong with those that do not. On a terminal it waits until they run; Ctrl-C ends the
waiting, and the service goes on in the background. When its output is no terminal, it tells each error once, and gives up with status 1
when the tasks keep failing for longer than --update-monitor (at least 30s): the service stays.

With --mode external the service has no tasks of its own and takes no COMMAND: sandboxes join it that people, or other programs, run on any
node with "run --network NET --label swarmnet.service=NAME"; one that is there joins when it is started. NET must be attachable. While such a
sandbox runs, the service's names, virtual address and published ports lead to it; "stop", "restart" and "rm" first take it out on every
node. Its default route is that of the service's network. "service ps" lists them. They go on when the service is removed.

As docker service create, with these differences: docker has no external services; there is no image and no mount; --health-tcp checks by a
connection; the resolver's --host stands after the noun, the daemon to ask before it.`, "  swarmnet service create --name web --replicas 3 --network app --publish 8080:80 -- swarmnet whoami\n  swarmnet service create --mode global --constraint node.labels.zone==a -- /opt/agent\n  swarmnet service create --name db --mode external --network app\n  swarmnet run -d --network app --label swarmnet.service=db -- postgres -D /srv/db"},
	"service ls": {`List services, with how many of their tasks run.

As docker service ls; COMMAND stands for IMAGE. REPLICAS of an external service is the number of sandboxes that have joined it and run.`, "  swarmnet service ls --filter mode=global\n  swarmnet service ls --format '{{.Name}} {{.Replicas}}'"},
	"service inspect": {`Show services in full: a JSON array.

As docker service inspect, with fields of swarmnet's own.`, "  swarmnet service inspect --pretty web\n  swarmnet service inspect --format '{{.Ports}}' web"},
	"service ps": {`List the tasks of services, the newest of each slot first and those before it below it.

As docker service ps; PORTS shows host-mode ports, and ERROR also why a task is not yet what it should be.`, "  swarmnet service ps web\n  swarmnet service ps web --filter desired-state=running --no-trunc"},
	"service scale": {`Set how many tasks replicated services have, and wait until they run. All of them are checked before the first is changed.

As docker service scale.`, "  swarmnet service scale web=5 api=2"},
	"service update": {`Change a service, and wait until its tasks have followed. What is not said stays.

As docker service update, with these differences: a new command goes after --; --dns, --dns-search and --dns-option replace what there
was; an empty --health-cmd is docker's --no-healthcheck; --constraint-rm, --host-rm, --network-rm and --publish-rm refuse what is not
there.`, "  swarmnet service update --env-add LEVEL=debug web\n  swarmnet service update --update-order start-first --force web\n  swarmnet service update --host-add db:192.0.2.7 --host-rm db:192.0.2.6 web\n  swarmnet service update web -- /opt/web-2"},
	"service rollback": {`Go back to the spec before the last change, networks and ports included, and wait until the tasks have followed.

As docker service rollback.`, "  swarmnet service rollback web"},
	"service rm": {`Remove services with their tasks, names, virtual addresses and ports.

As docker service rm.`, "  swarmnet service rm web api"},
	"service logs": {`Show the output of a service's tasks that run on this node.

As docker service logs, with this difference: what runs on other nodes is shown there.`, "  swarmnet service logs -f --tail 20 web"},

	"port":               {example: "  swarmnet port db\n  swarmnet port db 5432/tcp"},
	"inspect":            {example: "  swarmnet inspect db\n  swarmnet inspect --format '{{.State}}' db\n  swarmnet inspect --type network mynet"},
	"network create":     {example: "  swarmnet network create mynet\n  swarmnet network create -d overlay --attachable app\n  swarmnet network create --subnet 10.20.0.0/24 --ip-range 10.20.0.128/25 back"},
	"network inspect":    {example: "  swarmnet network inspect --pretty -v app\n  swarmnet network inspect --format '{{range .Holders}}{{.Address}} {{.Name}}{{\"\\n\"}}{{end}}' mynet"},
	"network rm":         {example: "  swarmnet network rm mynet"},
	"network prune":      {example: "  swarmnet network prune --force --filter label=test"},
	"network connect":    {example: "  swarmnet network connect --alias cache app db\n  swarmnet network connect --ip 10.20.0.9 back db"},
	"network disconnect": {example: "  swarmnet network disconnect app db"},

	"events": {`Follow what changes on this node and in its cluster, a line each, until interrupted or --until. SCOPE is node or cluster.

--since and --until take a time (2006-01-02T15:04:05Z), seconds since 1970, a duration before now (10m), or a revision of the cluster
(a number below 1000000000), to go on exactly where an earlier stream ended: a revision that is not remembered is refused, of a time what is
remembered is shown.

As docker events, with swarmnet's own kinds. On a worker only what is its own is seen.`, "  swarmnet events --filter type=service --filter action=update\n  swarmnet events --since 10m --until 0s --format json"},
	"version": {`Show the versions of this program and of the daemon, and what the daemon's kernel can do.

As docker version.`, "  swarmnet version\n  swarmnet version --format '{{.Client.Version}}'"},
	"daemon": {`Run this host's part: its own sandboxes and networks and, once it is in a cluster, the cluster's. Runs in the foreground; sandboxes go
on when it ends. SIGTERM ends it. Every flag can stand in a YAML file (--config).`, "  swarmnet daemon --advertise-addr 192.0.2.1\n  swarmnet daemon --config /etc/swarmnet.yaml"},
	"doctor": {example: "  swarmnet doctor\n  swarmnet doctor -q --format json"},
	"diff": {`Compare what the kernel of a node has of ours with what it should have, line by line, in the words of ip, bridge and nft: + is missing or
otherwise than it should be, - is too much. Nothing is printed when all agrees, and nothing is changed. NODE is asked through a manager; without
it, this node is compared, in a cluster or not.

What somebody else removes or alters the daemon puts right within seconds: what stays in the list it cannot put right, and its log says why.
That it did, ` + "`swarmnet events --filter event=drift`" + ` tells. What is just being made differs for a moment, too.

The exit status is 0 when all agrees, 1 when something differs, and 2 when that cannot be told, as of diff(1). Docker has no such command.`, "  swarmnet diff\n  swarmnet diff n2 --format json\n  swarmnet diff --watch"},
	"trace":  {example: "  swarmnet trace db web:80\n  swarmnet trace db :8080 --format json"},
	"whoami": {example: "  swarmnet service create --name web --publish 8080:80 -- swarmnet whoami"},

	"lab": {long: `A cluster on one machine: every node a network namespace with a real daemon, joined by a switch, and outside, a host that is no
member. It touches nothing of the host's own network. Runs as root, or as an ordinary user in a user namespace.`},
	"lab up":     {"Start a lab and return when its cluster is formed. Flags of `cluster init` go after --.", "  swarmnet lab up\n  swarmnet lab up --managers 1 --workers 2 -- --default-addr-pool 10.64.0.0/10"},
	"lab down":   {`End a lab, with everything in it, however it ended before.`, "  swarmnet lab down"},
	"lab ls":     {`List this user's labs.`, "  swarmnet lab ls"},
	"lab status": {`Show the nodes of a lab: power, link to the underlay, daemon.`, "  swarmnet lab status"},
	"lab exec":   {`Run a command in a node's host namespace, with SWARMNET_HOST set; its status is ours.`, "  swarmnet lab exec n1 -- swarmnet node ls\n  swarmnet lab exec outside -- swarmnet probe get http://192.0.2.1:8080"},
	"lab add":    {`Boot one more node and join it to the cluster.`, "  swarmnet lab add --manager"},
	"lab demo":   {`Three managers, a service with a published port, and a node that dies while requests go on: each command and its true output.`, "  swarmnet lab demo"},
	"lab kill":   {`Cut a node's power: daemon and workloads end at once, and what was not synced is lost.`, "  swarmnet lab kill n2"},
	"lab stop":   {`End a node's daemon alone; its workloads live on.`, "  swarmnet lab stop n2"},
	"lab start":  {`Boot a node that is off, or start its daemon.`, "  swarmnet lab start n2"},
	"lab narrow": {`Have a node's link to the underlay lose what is larger than so many octets, in both
directions; nobody is told. 1500 undoes it, and so does the node's next boot.`, "  swarmnet lab narrow n2 1300"},
	"lab cut":  {`Cut a node's link to the underlay; nobody is told.`, "  swarmnet lab cut n2"},
	"lab heal": {`Mend a node's link to the underlay, or all links.`, "  swarmnet lab heal"},
}

// finish gives every command its help and the completions that it has not.
func (a *app) finish(root *cobra.Command) {
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		text := helpTexts[strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")]
		if cmd.Long == "" {
			cmd.Long = text.long
		}
		if cmd.Example == "" {
			cmd.Example = text.example
		}
		a.completeFlags(cmd)
		if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !cmd.HasSubCommands() {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
}
