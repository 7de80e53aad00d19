// Command consign-cluster is a Kubernetes control plane in one file, for Consign's tests.
//
// Distributions package kubectl at best, and a container image of a control plane needs a container
// runtime and root. This needs neither: each subcommand is the upstream component, unchanged.
// It must never grow behaviour of its own, beyond ending with whoever started it: what the tests see has to be
// what upstream does.
package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	if len(os.Args) < 2 {
		fail("which one? etcd, kube-apiserver, kube-controller-manager or kubectl")
	}
	if _, watch := os.LookupEnv(owned); watch {
		go endWithOwner(os.Getenv(owned))
	}
	name := os.Args[1]
	// Upstream commands read os.Args themselves, in places: each must find its own name first.
	os.Args = os.Args[1:]
	var command *cobra.Command
	switch name {
	case "etcd":
		command = etcd()
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllermanager.NewControllerManagerCommand()
	case "kubectl":
		command = kubectl.NewDefaultKubectlCommand()
	default:
		fail(fmt.Sprintf("no component %q: etcd, kube-apiserver, kube-controller-manager or kubectl", name))
	}
	os.Exit(cli.Run(command))
}

// owned is set by whoever wants to leave nothing behind, to a folder (or to nothing): when standard input ends,
// because its writer closed it or died in whatever way, the folder is removed and the process ends.
// PR_SET_PDEATHSIG is no substitute: it fires when the starting thread ends, and a test is a thread.
const owned = "CONSIGN_CLUSTER_OWNED"

func endWithOwner(folder string) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	if folder != "" {
		_ = os.RemoveAll(folder)
	}
	os.Exit(0)
}

// etcd serves one unsecured member on one socket. Durability is off: its data lives as long as a test.
func etcd() *cobra.Command {
	var dir, client string
	command := &cobra.Command{
		Use:          "etcd",
		Short:        "One etcd member, for as long as it runs",
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			clientURL, err := url.Parse(client)
			if err != nil {
				return err
			}
			// One member talks to no peer: port 0 takes any free port, so no second one has to be found.
			peerURL, err := url.Parse("http://127.0.0.1:0")
			if err != nil {
				return err
			}
			config := embed.NewConfig()
			config.Dir = dir
			config.UnsafeNoFsync = true
			config.LogLevel = "warn"
			config.ListenClientUrls = []url.URL{*clientURL}
			// The advertised client URL stays the default one: a socket is refused there, and nobody asks for it.
			config.ListenPeerUrls = []url.URL{*peerURL}
			config.AdvertisePeerUrls = []url.URL{*peerURL}
			config.InitialCluster = config.InitialClusterFromName(config.Name)
			server, err := embed.StartEtcd(config)
			if err != nil {
				return err
			}
			defer server.Close()
			stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			select {
			case err := <-server.Err():
				return err
			case <-stop.Done():
				return nil
			}
		},
	}
	command.Flags().StringVar(&dir, "data-dir", "", "folder of the data")
	command.Flags().StringVar(&client, "listen-client-urls", "", "URL to serve clients on, such as unix://etcd.sock (relative to the working directory)")
	return command
}

func fail(message string) {
	fmt.Fprintln(os.Stderr, "consign-cluster: "+message)
	os.Exit(2)
}
