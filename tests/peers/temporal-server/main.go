// The yardstick: a real Temporal server in one process, on an SQLite database.
//
// The conformance programs must pass here before they may judge durably, and the benchmark runs its
// load against this server on a file in the same run as against ours.
//
//	temporal-server [--file PATH] [--port PORT] [--namespace NAME]
//
// The first line on standard output is the host:port that answers. The server ends on SIGINT or
// SIGTERM, or when standard input closes, so that it never outlives the test that started it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/schema/sqlite"
	"go.temporal.io/server/temporal"
)

const (
	loopback    = "127.0.0.1"
	clusterName = "active"
)

func main() {
	file := flag.String("file", "", "SQLite file to keep state in; without it, state is in memory")
	port := flag.Int("port", 0, "frontend port; 0 picks a free one")
	namespace := flag.String("namespace", "default", "namespace to create")
	untilEOF := flag.Bool("until-eof", true, "stop when standard input closes")
	flag.Parse()
	if err := run(*file, *port, *namespace, *untilEOF); err != nil {
		fmt.Fprintln(os.Stderr, "temporal-server:", err)
		os.Exit(1)
	}
}

func run(file string, port int, namespace string, untilEOF bool) error {
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGINT, syscall.SIGTERM)
	if untilEOF {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stopped <- syscall.SIGTERM
		}()
	}

	cfg, err := serverConfig(file, port)
	if err != nil {
		return err
	}
	if err := prepareStore(cfg, file, namespace); err != nil {
		return err
	}
	server, err := newServer(cfg)
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	if err := awaitNamespace(cfg.PublicClient.HostPort, namespace); err != nil {
		return err
	}
	fmt.Println(cfg.PublicClient.HostPort)
	<-stopped
	return server.Stop()
}

// serverConfig describes a cluster of one: four services on loopback, one history shard, one database.
func serverConfig(file string, port int) (*config.Config, error) {
	// Frontend first, then a gRPC and a membership port per service, metrics and pprof.
	ports, err := freePorts(10)
	if err != nil {
		return nil, err
	}
	if port != 0 {
		ports[0] = port
	}
	frontend := fmt.Sprintf("%s:%d", loopback, ports[0])
	service := func(grpcPort, membershipPort int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: grpcPort, MembershipPort: membershipPort, BindOnIP: loopback}}
	}
	disabled := config.HistoryArchival{State: "disabled"}
	return &config.Config{
		Global: config.Global{
			Membership: config.Membership{MaxJoinDuration: 30 * time.Second, BroadcastAddress: loopback},
			Metrics: &metrics.Config{Prometheus: &metrics.PrometheusConfig{
				ListenAddress: fmt.Sprintf("%s:%d", loopback, ports[8]), HandlerPath: "/metrics"}},
			PProf: config.PProf{Port: ports[9]},
		},
		Persistence: config.Persistence{
			DefaultStore:     sqliteplugin.PluginName,
			VisibilityStore:  sqliteplugin.PluginName,
			NumHistoryShards: 1,
			DataStores:       map[string]config.DataStore{sqliteplugin.PluginName: {SQL: database(file)}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			"frontend": service(ports[0], ports[1]),
			"history":  service(ports[2], ports[3]),
			"matching": service(ports[4], ports[5]),
			"worker":   service(ports[6], ports[7]),
		},
		Archival: config.Archival{History: disabled, Visibility: config.VisibilityArchival{State: "disabled"}},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}, nil
}

// database keeps a file as safe as durably keeps its own: write-ahead log, and an fsync in each commit.
func database(file string) *config.SQL {
	if file == "" {
		return &config.SQL{
			PluginName:        sqliteplugin.PluginName,
			DatabaseName:      fmt.Sprintf("peer-%d", os.Getpid()),
			ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
		}
	}
	return &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      file,
		ConnectAttributes: map[string]string{"mode": "rwc", "journal_mode": "WAL", "synchronous": "FULL"},
	}
}

func prepareStore(cfg *config.Config, file, namespace string) error {
	sql := cfg.Persistence.DataStores[sqliteplugin.PluginName].SQL
	if file != "" {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			if err := sqlite.SetupSchema(sql); err != nil {
				return fmt.Errorf("create the schema in %s: %w", file, err)
			}
		}
	}
	ns, err := sqlite.NewNamespaceConfig(clusterName, namespace, false, nil)
	if err != nil {
		return err
	}
	// On a file that an earlier run has left, the namespace is there already.
	if err := sqlite.CreateNamespaces(sql, ns); err != nil && !strings.Contains(err.Error(), "already exists") {
		return fmt.Errorf("create namespace %q: %w", namespace, err)
	}
	return nil
}

func newServer(cfg *config.Config) (temporal.Server, error) {
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return nil, err
	}
	claims, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, log.NewNoopLogger())
	if err != nil {
		return nil, err
	}
	// What a dev server switches on, so that the SDKs meet the features which they negotiate.
	settings := dynamicconfig.StaticClient{}
	for _, name := range []string{
		"system.enableEagerWorkflowStart",
		"system.forceSearchAttributesCacheRefreshOnRead",
		"frontend.enableExecuteMultiOperation",
		"frontend.enableUpdateWorkflowExecution",
		"frontend.enableUpdateWorkflowExecutionAsyncAccepted",
	} {
		settings[dynamicconfig.MakeKey(name)] = true
	}
	return temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithLogger(log.NewNoopLogger()),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(settings),
	)
}

// awaitNamespace asks until the frontend answers for the namespace: its cache fills shortly after the start.
func awaitNamespace(hostPort, namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := client.NewLazyClient(client.Options{HostPort: hostPort, Namespace: namespace, Logger: quiet{}})
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace})
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the frontend does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts holds all listeners open until each has its port, so that no port is given out twice.
func freePorts(n int) ([]int, error) {
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", loopback+":0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// quiet is a logger for the readiness probe, whose failures are expected until the server is up.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
