package modaltest

import (
	"fmt"
	"strings"

	pb "github.com/modal-labs/libmodal/modal-go/proto/modal_proto"
)

// Forgotten makes a sandbox as somebody does who dies before having noted it: in the App of that name, which may be new, or in one whose name begins so and
// ends in a star, from any image that is there.
func (s *Server) Forgotten(app, name string) error {
	s.mu.Lock()
	id, image := "", ""
	for known, of := range s.apps {
		if begin, star := strings.CutSuffix(app, "*"); known == app || star && strings.HasPrefix(known, begin) {
			id = of
		}
	}
	if id == "" && !strings.HasSuffix(app, "*") {
		id = newID("ap")
		s.apps[app] = id
	}
	for of, im := range s.images {
		if im.built {
			image = of
		}
	}
	s.mu.Unlock()
	if id == "" || image == "" {
		return fmt.Errorf("there is no App %q, or no image", app)
	}
	_, err := s.make(id, pb.Sandbox_builder{Name: &name, ImageId: image, TimeoutSecs: 24 * 60 * 60}.Build())
	return err
}
