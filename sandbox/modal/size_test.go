package modal

import (
	"reflect"
	"testing"
	"time"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"

	"openinspect/session"
)

// What a sandbox is to be like is said of each that is made, also of one from a snapshot.
func TestSize(t *testing.T) {
	r := newRig(t, false, func(c *Config) {
		c.CPU, c.MemoryMiB, c.Lifetime, c.Networks = 0.5, 4096, 90*time.Minute, []string{"140.82.112.0/20"}
	})
	image, err := r.Snapshot(r.ctx, r.create("one", "s1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create(r.ctx, spec("two", "s1", image, session.BootSnapshot)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one", "two"} {
		def := r.Definition(name)
		network := def.GetNetworkAccess()
		if def.GetResources().GetMilliCpu() != 500 || def.GetResources().GetMemoryMb() != 4096 || def.GetTimeoutSecs() != 90*60 ||
			network.GetNetworkAccessType() != pb.NetworkAccess_ALLOWLIST || !reflect.DeepEqual(network.GetAllowedCidrs(), []string{"140.82.112.0/20"}) {
			t.Errorf("%s: %v", name, def)
		}
	}
	if all, err := r.provider().Create(r.ctx, spec("three", "s1", "", session.BootFresh)); err != nil {
		t.Error(err)
	} else if def := r.Definition(all.Name); def.GetNetworkAccess().GetNetworkAccessType() != pb.NetworkAccess_OPEN ||
		def.GetResources().GetMilliCpu() != 1000 || def.GetResources().GetMemoryMb() != 2048 || def.GetTimeoutSecs() != 24*60*60 {
		t.Errorf("%v", def)
	}
	r.clock.Advance(90 * time.Minute)
	if live := r.Live(); !reflect.DeepEqual(live, []string{"three"}) {
		t.Errorf("%v live on", live)
	}
}
