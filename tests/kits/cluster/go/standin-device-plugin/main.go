// Standin-device-plugin stands in for NVIDIA's device plugin on a node with stand-in GPUs.
//
// It advertises the GPUs of /run/standin-gpus/gpus.json to the kubelet as nvidia.com/gpu, with their UUIDs as device
// ids, and gives a container that was allocated some what NVIDIA's runtime would: the devices' names and the driver's
// libraries. It also writes each GPU pod's devices into the annotation that NVSentinel's metadata collector writes.
// It ends when anything fails, and the DaemonSet starts it again.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sync/errgroup"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Getenv("NODE")); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, node string) error {
	gpus, err := readGPUs(inventory)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return advertise(ctx, gpus) })
	group.Go(func() error { return annotate(ctx, node) })
	return group.Wait()
}

// advertise serves and registers, and does so again each time the kubelet makes its socket anew: a kubelet that starts
// empties the folder and forgets its plugins.
func advertise(ctx context.Context, gpus []gpu) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(plugin.DevicePluginPath); err != nil {
		return err
	}
	for ctx.Err() == nil {
		stop, err := serve(ctx, gpus)
		if err != nil {
			return err
		}
		err = untilKubeletStarts(ctx, watcher)
		stop()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func untilKubeletStarts(ctx context.Context, watcher *fsnotify.Watcher) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-watcher.Errors:
			return err
		case event := <-watcher.Events:
			if event.Has(fsnotify.Create) && filepath.Clean(event.Name) == filepath.Clean(plugin.KubeletSocket) {
				log.Print("the kubelet has started again: registering anew")
				return nil
			}
		}
	}
}
