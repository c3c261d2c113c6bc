package sessiontest

import (
	"time"

	"openinspect/session"
)

var web = session.Repo{Owner: "acme", Name: "web"}

// testSpares: a spare is there until it is forgotten, and what it lived counts once.
func testSpares(s *suite) {
	same(s, "spares", must(s.Spares(s.ctx))(s), nil)
	warm := session.NewSpare(session.SpareWarm, session.BootFresh, web, "main", Epoch)
	build := session.NewSpare(session.SpareBuild, session.BootBuild, web, "main", Epoch)
	warm.ID, build.ID = one, two
	s.ok(s.PutSpare(s.ctx, build))
	s.ok(s.PutSpare(s.ctx, warm))
	warm.Session, warm.For, warm.TakenAt = "sessionccc", "sessionccc-1", Epoch.Add(time.Second)
	warm.Handle = session.Handle{Provider: "test", Name: warm.Name, ID: "x"}
	s.ok(s.PutSpare(s.ctx, warm))
	s.reopen()
	same(s, "spares", must(s.Spares(s.ctx))(s), []session.Spare{warm, build})
	day := Epoch.UTC().Format(time.DateOnly)
	for range 2 {
		s.ok(s.ForgetSpare(s.ctx, build.ID, build.Lived(Epoch.Add(time.Minute))...))
		s.ok(s.ForgetSpare(s.ctx, warm.ID, warm.Lived(Epoch.Add(time.Minute))...)) // its session counts the rest
	}
	s.reopen()
	same(s, "lived", must(s.Lived(s.ctx, day))(s), time.Minute+time.Second)
	same(s, "spares", must(s.Spares(s.ctx))(s), nil)
}

// testImages: an image is remembered as what it was made for, until it is forgotten.
func testImages(s *suite) {
	same(s, "images", must(s.Images(s.ctx))(s), nil)
	snapshot := session.Image{ID: "im-1", Kind: session.ImageSnapshot, Session: one, At: Epoch}
	prebuilt := session.Image{ID: "im-2", Kind: session.ImagePrebuilt, Repo: web, At: Epoch}
	s.ok(s.PutImage(s.ctx, prebuilt))
	s.ok(s.PutImage(s.ctx, snapshot))
	s.ok(s.PutImage(s.ctx, session.Image{ID: "im-1", Kind: session.ImagePrebuilt, At: Epoch.Add(time.Hour)}))
	s.reopen()
	same(s, "images", must(s.Images(s.ctx))(s), []session.Image{snapshot, prebuilt})
	for range 2 {
		s.ok(s.ForgetImage(s.ctx, "im-1"))
	}
	s.reopen()
	same(s, "images", must(s.Images(s.ctx))(s), []session.Image{prebuilt})
}

// testPrebuilt: a repository has one record, whatever the case of its name, and switching it is audited.
func testPrebuilt(s *suite) {
	_, err := s.Prebuilt(s.ctx, web)
	s.is(err, session.NotFound)
	p := session.Prebuilt{Repo: web, Base: "main", Enabled: true, By: Ada, At: Epoch}
	s.ok(s.PutPrebuilt(s.ctx, p))
	p.State, p.Build, p.Asked = session.BuildGoesOn, one, []session.Person{Bob}
	s.ok(s.PutPrebuilt(s.ctx, p)) // no switch: not audited
	s.ok(s.PutPrebuilt(s.ctx, session.Prebuilt{Repo: session.Repo{Owner: "acme", Name: "api"}, Base: "dev"}))
	s.reopen()
	same(s, "record", must(s.Prebuilt(s.ctx, session.Repo{Owner: "Acme", Name: "Web"}))(s), p)
	p.Repo.Name, p.Enabled, p.By = "Web", false, Bob
	s.ok(s.PutPrebuilt(s.ctx, p))
	s.reopen()
	all := must(s.Prebuilts(s.ctx))(s)
	same(s, "records", len(all), 2)
	same(s, "record", all[1], p)
	log := s.audited(session.AuditQuery{})
	same(s, "audited", len(log), 2)
	same(s, "line", log[0], session.AuditRecord{At: Epoch, Action: "image", By: Ada, Result: "on for acme/web"})
	same(s, "line", log[1].Result, "off for acme/Web")
}
