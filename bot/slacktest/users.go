package slacktest

import (
	"maps"
	"slices"
	"strings"
)

// User is a member of the workspace, or somebody from outside it.
type User struct {
	ID          string // default: U0 and the name in upper case
	Name        string // the handle, without @; must be unique
	RealName    string // default Name
	DisplayName string // default Name
	Email       string
	TeamID      string // default the workspace's

	IsRestricted      bool // a multi-channel guest
	IsUltraRestricted bool // a single-channel guest
	IsBot             bool
	IsStranger        bool // from another workspace, through a shared channel
	Deleted           bool

	BotID string // bots only; default derived from Name
}

// AddUser adds a person or a bot of another app. They are in no channel yet.
func (s *Server) AddUser(u User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	added := s.addUser(u)
	s.touch()
	return *added
}

func (s *Server) addUser(u User) *User {
	upper := strings.ToUpper(u.Name)
	setDefault(&u.ID, "U0"+upper)
	setDefault(&u.RealName, u.Name)
	setDefault(&u.DisplayName, u.Name)
	setDefault(&u.TeamID, s.cfg.TeamID)
	if u.IsBot {
		setDefault(&u.BotID, "B0"+upper)
	}
	if _, known := s.users[u.ID]; !known {
		s.userOrder = append(s.userOrder, u.ID)
	}
	s.users[u.ID] = &u
	return &u
}

// findUser resolves an id or a name.
func findUser(users map[string]*User, ref string) *User {
	if u := users[ref]; u != nil {
		return u
	}
	ref = strings.TrimPrefix(ref, "@")
	for _, id := range slices.Sorted(maps.Keys(users)) {
		if users[id].Name == ref {
			return users[id]
		}
	}
	return nil
}

func (s *Server) wireUser(u *User) obj {
	profile := obj{
		"real_name": u.RealName, "real_name_normalized": u.RealName,
		"display_name": u.DisplayName, "display_name_normalized": u.DisplayName,
		"avatar_hash": "g" + strings.ToLower(u.ID), "team": u.TeamID, "status_text": "", "status_emoji": "",
		"image_24": "", "image_32": "", "image_48": "", "image_72": "", "image_192": "", "image_512": "",
	}
	if u.Email != "" && !u.IsStranger {
		profile["email"] = u.Email
	}
	w := obj{
		"id": u.ID, "team_id": u.TeamID, "name": u.Name, "real_name": u.RealName, "deleted": u.Deleted,
		"color": "9f69e7", "tz": "Europe/London", "tz_label": "Greenwich Mean Time", "tz_offset": 0,
		"profile": profile, "is_admin": false, "is_owner": false, "is_primary_owner": false,
		"is_restricted": u.IsRestricted, "is_ultra_restricted": u.IsUltraRestricted,
		"is_bot": u.IsBot, "is_app_user": false, "updated": 1700000000, "is_email_confirmed": true,
	}
	if u.IsStranger {
		w["is_stranger"] = true
	}
	if u.IsBot {
		profile["bot_id"] = u.BotID
		if u.ID == s.bot.ID {
			profile["api_app_id"] = s.cfg.AppID
		}
	}
	return w
}

func (s *Server) usersInfo(a args) (obj, error) {
	u := s.users[a["user"]]
	if u == nil {
		return nil, refuse("user_not_found")
	}
	return obj{"user": s.wireUser(u)}, nil
}

func (s *Server) usersList(a args) (obj, error) {
	ids, next, err := page(s.userOrder, a, 1000)
	if err != nil {
		return nil, err
	}
	members := []obj{}
	for _, id := range ids {
		members = append(members, s.wireUser(s.users[id]))
	}
	return obj{"members": members, "cache_ts": s.cfg.Now().Unix(), "response_metadata": obj{"next_cursor": next}}, nil
}

func (s *Server) usersLookupByEmail(a args) (obj, error) {
	for _, id := range s.userOrder {
		u := s.users[id]
		if u.Email != "" && strings.EqualFold(u.Email, a["email"]) && !u.IsStranger && !u.Deleted {
			return obj{"user": s.wireUser(u)}, nil
		}
	}
	return nil, refuse("users_not_found")
}

func (s *Server) botsInfo(a args) (obj, error) {
	for _, id := range s.userOrder {
		if u := s.users[id]; u.IsBot && u.BotID == a["bot"] {
			bot := obj{"id": u.BotID, "deleted": u.Deleted, "name": u.Name, "user_id": u.ID, "updated": 1700000000,
				"icons": obj{"image_36": "", "image_48": "", "image_72": ""}}
			if u.ID == s.bot.ID {
				bot["app_id"] = s.cfg.AppID
			}
			return obj{"bot": bot}, nil
		}
	}
	return nil, refuse("bot_not_found")
}

func (s *Server) authTest(args) (obj, error) {
	return obj{
		"url": "https://" + s.domain() + ".slack.com/", "team": s.cfg.TeamName, "team_id": s.cfg.TeamID,
		"user": s.bot.Name, "user_id": s.bot.ID, "bot_id": s.bot.BotID, "is_enterprise_install": false,
	}, nil
}
