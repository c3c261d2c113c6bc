package slacktest

import "strings"

// Status is what the app says it is doing in a thread, until its next message
// there. Text and State are set by different methods and share one slot: the
// last writer wins.
type Status struct {
	Text    string   // assistant.threads.setStatus
	Loading []string // its loading_messages
	State   string   // agents.sessions.setStatus: active, processing, suspended, closed
	Title   string   // kept when the status changes
}

// setStatus replaces a thread's status, keeping its title unless a new one is given.
func (s *Server) setStatus(channel, threadTS string, st Status) {
	key := channel + threadTS
	if st.Title == "" {
		st.Title = s.statuses[key].Title
	}
	s.statuses[key] = st
	s.tell(Change{Kind: StatusSet, Message: Message{Channel: channel, ThreadTS: threadTS}, User: s.bot.ID, Status: st})
}

// statusThread resolves the thread that a status method is about.
func (s *Server) statusThread(a args) (channel, threadTS string, err error) {
	ch, err := s.joined(a["channel_id"])
	if err != nil {
		return "", "", err
	}
	if a["thread_ts"] != "" {
		if m, _ := s.find(ch.ID, a["thread_ts"]); m == nil {
			return "", "", refuse("thread_not_found")
		}
	}
	return ch.ID, a["thread_ts"], nil
}

func (s *Server) assistantThreadsSetStatus(a args) (obj, error) {
	channel, ts, err := s.statusThread(a)
	if err != nil {
		return nil, err
	}
	loading := strings.FieldsFunc(a["loading_messages"], func(r rune) bool { return r == ',' })
	if len(loading) > 10 {
		return nil, refuse("invalid_arguments", "loading_messages: no more than 10")
	}
	s.setStatus(channel, ts, Status{Text: a["status"], Loading: loading})
	return nil, nil
}

func (s *Server) agentsSessionsSetStatus(a args) (obj, error) {
	channel, ts, err := s.statusThread(a)
	if err != nil {
		return nil, err
	}
	switch a["status"] {
	case "active", "processing", "suspended", "closed":
	default:
		return nil, refuse("invalid_arguments", "status: must be active, processing, suspended or closed")
	}
	s.setStatus(channel, ts, Status{State: a["status"], Title: a["title"]})
	return obj{"status": a["status"], "agent_status": a["status"], "title": s.statuses[channel+ts].Title}, nil
}

func (s *Server) agentsSessionsRename(a args) (obj, error) {
	channel, ts, err := s.statusThread(a)
	if err != nil {
		return nil, err
	}
	if a["title"] == "" || len([]rune(a["title"])) > 200 {
		return nil, refuse("invalid_arguments", "title: 1 to 200 characters")
	}
	st := s.statuses[channel+ts]
	st.Title = a["title"]
	s.setStatus(channel, ts, st)
	return obj{"title": st.Title}, nil
}
