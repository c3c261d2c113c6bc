"use strict";

// Fills the page with a session's log and follows it. Everything that is shown is hostile until shown: only text nodes are made of
// it, and attributes of fixed names.
(() => {
  const log = document.getElementById("log");
  const writing = document.getElementById("writing");
  const status = document.getElementById("status");

  // Text

  const unseen = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
  const escapes = /\x1b(?:\[[0-?]*[ -\/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\))/g;

  // plain shows all that a text holds: what would hide, move or reorder other text is made visible.
  const plain = (s) => String(s ?? "").replaceAll("\r\n", "\n")
    .replace(unseen, (c) => `⟨U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`);
  // terminal is plain for a program's output: colours are dropped, a progress bar's steps are lines.
  const terminal = (s) => plain(String(s ?? "").replace(escapes, "").replace(/\r\n?/g, "\n"));
  const line = (s) => plain(s).split(/\s+/).filter(Boolean).join(" ");

  const el = (tag, cls, ...children) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    node.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
    return node;
  };
  const span = (cls, ...children) => el("span", cls, ...children);
  const bdi = (s) => el("bdi", "", line(s));
  const prose = (s) => el("div", "prose", plain(s));
  const pre = (s, label) => {
    const node = el("pre", "", plain(s).replace(/\n+$/, ""));
    node.tabIndex = 0; // so that it can be scrolled by keyboard
    if (label) node.setAttribute("aria-label", label);
    return node;
  };
  const labelled = (label, node) => el("div", "part", el("p", "label", label), node);
  const fold = (summary, ...children) => el("details", "", el("summary", "", ...[summary].flat()), ...children);

  const link = (url, ...children) => {
    let u;
    try { u = new URL(url); } catch { return span("", ...children); }
    if (u.protocol !== "https:" && u.protocol !== "http:") return span("", ...children);
    const a = el("a", "", ...children);
    a.href = u.href;
    a.rel = "noopener noreferrer";
    return a;
  };

  const dollars = (c) => c === 0 ? "$0" : c < 1 ? `$${c.toFixed(4)}` : `$${c.toFixed(2)}`;
  const count = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
  // The phases of a boot as the thread calls them.
  const phases = { sync: "checkout", setup: "setup.sh", start: "start.sh" };
  const took = (ms) => !ms ? "" : ms < 1000 ? `${ms} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60000)} min ${Math.round(ms % 60000 / 1000)} s`;
  const who = (p) => {
    const name = line(p?.name) || line(p?.slack), login = line(p?.github?.login);
    return bdi(login && login.toLowerCase() !== name.toLowerCase() ? `${name} (${login})` : name);
  };
  const people = (list) => (list ?? []).flatMap((p, i) => i ? [", ", who(p)] : [who(p)]);
  const commit = (hash) => {
    const node = el("code", "", line(hash).slice(0, 7));
    node.title = line(hash);
    return node;
  };
  const badge = (state) => span(`badge s-${String(state).replace(/[^a-z_]/g, "")}`, line(state).replaceAll("_", " "));
  const facts = (...pairs) => {
    const shown = pairs.filter(([, v]) => v !== "" && v !== undefined && v !== null && v.length !== 0);
    return shown.length ? el("dl", "facts", ...shown.map(([k, v]) => el("div", "", el("dt", "", k), el("dd", "", ...[v].flat())))) : null;
  };

  // diff colours a unified diff. The counts of each hunk tell lines that were removed from lines that begin a file.
  const diff = (text, label) => {
    const node = el("pre", "diff");
    node.tabIndex = 0;
    node.setAttribute("aria-label", label);
    let removed = 0, added = 0;
    for (const l of plain(text).replace(/\n$/, "").split("\n")) {
      let cls = "file";
      const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(l);
      if (removed > 0 || added > 0) {
        cls = "same";
        if (l[0] === "+") { cls = "add"; added--; }
        else if (l[0] === "-") { cls = "del"; removed--; }
        else if (l[0] !== "\\") { added--; removed--; }
      } else if (hunk) {
        cls = "hunk";
        removed = Number(hunk[1] ?? 1);
        added = Number(hunk[2] ?? 1);
      }
      node.append(span(cls, l + "\n"));
    }
    return node;
  };

  // later is a fold whose content is made when it is first opened: patches are long.
  const later = (summary, make) => {
    const node = fold(summary);
    node.addEventListener("toggle", () => { if (node.childElementCount === 1) node.append(make()); });
    return node;
  };

  const fileList = (files) => !files?.length ? null : el("ul", "files", ...files.map((f) => el("li", "",
    el("code", "", line(f.path)), " ",
    ...(f.binary ? [span("quiet", "binary")] : [span("plus", `+${f.added}`), " ", span("minus", `−${f.deleted}`)]))));

  const input = (value) => {
    if (value === undefined || value === null) return null;
    if (typeof value !== "object" || Array.isArray(value)) return pre(typeof value === "string" ? value : JSON.stringify(value, null, 2), "Input");
    const rows = Object.entries(value).map(([k, v]) => labelled(line(k), pre(typeof v === "string" ? v : JSON.stringify(v, null, 2), line(k))));
    return rows.length ? el("div", "", ...rows) : null;
  };

  const pullFacts = (p) => [
    ["Pull request", [link(p.url, `#${p.number} `, bdi(p.title)), " ", badge(p.state)]],
    ["Repository", p.repo?.owner ? `${line(p.repo.owner)}/${line(p.repo.name)}` : ""],
    ["Branch", p.branch ? [el("code", "", line(p.branch)), " onto ", el("code", "", line(p.base))] : ""],
    ["Commit", p.commit ? [commit(p.commit)] : ""],
    ["Moved to", p.head ? [commit(p.head), " on GitHub"] : ""],
    ["", p.draft ? "It is a draft." : ""],
    ["", line(p.lost)],
    ["Checks", !p.checks?.state ? "" : p.checks.failed?.length ? `failed: ${p.checks.failed.map((c) => line(c.name)).join(", ")}`
      : `${line(p.checks.state)}${p.checks.total ? `, ${p.checks.total} in all` : ""}`],
    ["Reviews", p.reviews?.length ? p.reviews.map((r) => `${line(r.by?.login)} ${line(r.state).replace("_", " ")} at ${line(r.commit).slice(0, 7)}`).join(", ") : ""],
    ["Merged", p.merged_as ? [commit(p.merged_as), ` by ${line(p.merged_by?.login)}`] : ""],
    ["Opened by", p.opened_by?.name ? [who(p.opened_by)] : ""],
    ["", p.adopted ? "It was there already." : ""],
  ];

  // One function for each kind: the line that names the entry, then what it holds.

  const kinds = {
    prompt: ({ prompt: p }) => [
      [p.text ? el("h2", "", who(p.author)) : who(p.author), " ", badge(p.state), p.position ? span("quiet", ` place ${p.position} in the queue`) : "",
        p.edited ? span("quiet", " edited") : "", p.corrects ? span("quiet", " corrects an earlier message") : "", p.asked_by ? span("quiet", ` again, for ${line(p.asked_by)}`) : ""],
      p.text ? prose(p.text) : null, p.reason ? prose(p.reason) : null,
    ],
    boot: ({ boot: b }) => [
      ["Boot: ", line(phases[b.phase] ?? b.phase), " ", badge(b.state), b.state === "skipped" ? "" : span("quiet", ` ${took(b.ms)}${b.phase === "ready" && b.ms ? " in all" : ""}`)],
      b.detail ? prose(b.detail) : null, b.output ? pre(terminal(b.output), "Output") : null,
    ],
    turn: ({ turn: t }) => [
      [t.outcome ? `Turn ${line(t.state)} ` : "Turn ", badge(t.outcome || t.state), t.card ? span("quiet", ` card ${line(t.card)}`) : ""],
      t.reason ? prose(t.reason) : null,
    ],
    text: ({ text: t }) => [["Agent"], prose(t.text)],
    reasoning: ({ text: t }) => [["Agent"], fold("Reasoning", prose(t.text))],
    tool: ({ tool: t }) => {
      const parts = [
        t.input !== undefined && t.input !== null ? labelled("Input", input(t.input)) : null,
        t.output ? labelled("Output", pre(terminal(t.output), "Output")) : null,
        t.error ? labelled("Error", pre(terminal(t.error), "Error")) : null,
        t.diff ? labelled("Diff", diff(t.diff, "Diff")) : null,
      ];
      const head = [el("code", "", line(t.name)), " ", bdi(t.title), " ", t.state === "done" ? "" : badge(t.state),
        t.exit !== undefined ? span(t.exit === 0 ? "quiet" : "bad", ` exit ${t.exit}`) : "",
        t.child ? span("quiet", " by a sub-agent") : "", span("quiet", " " + took(t.ms))];
      return parts.some(Boolean) ? [["Tool"], fold(head, ...parts)] : [["Tool ", ...head]];
    },
    todo: ({ todo }) => [["Todo list"], el("ul", "todo", ...(todo ?? []).map((i) =>
      el("li", `t-${String(i.state).replace(/[^a-z_]/g, "")}`, span("label", line(i.state).replaceAll("_", " ")), span("item", plain(i.text)))))],
    model: ({ model: m }) => [
      ["Model call ", el("code", "", line(m.model)), " ", dollars(m.cost ?? 0), m.status ? span("bad", ` refused with HTTP ${m.status}`) : "",
        span("quiet", ` ${count(m.usage?.input ?? 0, "token")} in, ${(m.usage?.output ?? 0).toLocaleString("en")} out`
          + (m.usage?.cache_read ? `, ${m.usage.cache_read.toLocaleString("en")} read from cache` : "")
          + (m.usage?.cache_write ? `, ${m.usage.cache_write.toLocaleString("en")} written to cache` : "")
          + (m.estimate ? ", estimated: the answer broke off" : ""))],
    ],
    retry: ({ retry: r }) => [
      ["Model call tried again, attempt ", String(r.attempt), r.next ? span("quiet", " at ", time(r.next)) : ""],
      r.reason ? prose(r.reason) : null,
    ],
    commits: ({ commits: c }) => [
      [el("h3", "", count(c.count, "commit")), " up to ", commit(c.head)], fileList(c.files),
      c.patch ? later("Patch", () => diff(c.patch, "Patch")) : null,
    ],
    card: ({ card: c }) => [
      [el("h3", "", c.kind === "changes" ? "Changes ready" : c.kind === "pull_request" ? "Pull request" : line(c.kind)), " ",
        badge(c.state), span("quiet", ` card ${line(c.id)}`)],
      el("p", "title", bdi(c.title)), c.body ? prose(c.body) : null,
      facts(
        ["Repository", c.repo?.owner ? `${line(c.repo.owner)}/${line(c.repo.name)}` : ""],
        ["Branch", c.branch ? [el("code", "", line(c.branch)), " onto ", el("code", "", line(c.base))] : ""],
        ["Commit", [commit(c.commit), span("quiet", ` ${count(c.commits ?? 0, "commit")}`)]],
        ["Asked by", c.asked?.name ? who(c.asked) : ""], ["Contributors", people(c.contributors)], ["Opens", c.draft ? "a draft" : ""],
        ["Being merged", c.merging ? ["for ", who(c.merging)] : ""], ["Outcome", line(c.outcome)],
        ["Second approval", (c.named ?? []).flatMap((p, i) => [i ? ", " : "", el("code", "", line(p))])],
        ["Second look", (c.attention ?? []).flatMap((p, i) => [i ? ", " : "", el("code", "", line(p))])],
        ...(c.pull_request ? pullFacts(c.pull_request).slice(0, 1) : []),
      ), c.tests ? labelled("Tests, as reported by the agent", prose(c.tests)) : null, fileList(c.files),
    ],
    approval: ({ approval: a }) => [[{ review: "Review of card ", merge: "Merge of card " }[a.kind] ?? "Approval of card ", line(a.card), " by ", who(a.by), " ", badge(a.state), span("quiet", ` ${line(a.id)}${a.seconds && a.seconds !== a.id ? `, the second of ${line(a.seconds)}` : ""}`)]],
    pull_request: ({ pull_request: p }) => [[el("h3", "", `Pull request #${p.number}`), " ", badge(p.state)], facts(...pullFacts(p))],
    sandbox: ({ sandbox: s }) => [["Sandbox ", badge(s.state || "none"), span("quiet", " ", line(s.name))], s.reason ? prose(s.reason) : null],
    note: ({ note: n }) => n.to ? [["Note for one person alone"]] : [
      [n.kind === "question" ? el("h3", "", "Question") : n.kind === "update" ? "Update" : n.kind === "image" ? "Image, posted in the thread" : n.kind === "offer" ? el("h3", "", n.url ? link(n.url, "On GitHub") : "On GitHub") : "Notice"], n.text ? prose(n.text) : null,
      n.over ? prose(n.over) : null, n.quote ? prose(n.quote) : null,
      n.options?.length ? el("ul", "", ...n.options.map((o) => el("li", "", line(o)))) : null,
    ],
    budget: ({ budget: b }) => [
      ["Budget ", badge(b.state), span("quiet", ` ${dollars(b.spent)} spent of ${dollars(b.limit)}`),
        b.state === "asked" ? `, paused until somebody allows ${dollars(b.more)} more` : "",
        b.state === "raised" ? [`, ${dollars(b.more)} more allowed by `, who(b.by)] : ""].flat(),
      b.reason ? prose(b.reason) : null,
    ],
    repository: ({ repository: r }) => [
      ["Repository ", badge(r.state), r.state === "picked" ? [" ", r.repo ? span("quiet", `${line(r.repo.owner)}/${line(r.repo.name)} ${line(r.base || "")}`) : "none", ", by ", who(r.by)] : ""].flat(),
      r.reason ? prose(r.reason) : null,
    ],
    error: ({ error: f }) => [[el("h3", "", "Error"), " ", span("quiet", line(f.code))], prose(f.message)],
  };

  const time = (at) => {
    const d = new Date(at), node = el("time", "", Number.isNaN(d.getTime()) ? line(at)
      : d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }));
    if (!Number.isNaN(d.getTime())) { node.dateTime = d.toISOString(); node.title = d.toLocaleString(); }
    return node;
  };

  // The log

  let last = 0;                // number of the newest entry shown
  const calls = new Map();     // tool calls and boot phases under way: their entry is filled in again
  const live = new Map();      // parts being written
  const finished = new Set();  // parts whose finished text is shown
  const partKey = (prompt, kind, part) => JSON.stringify([prompt, kind, part]);

  const fill = (node, e) => {
    let name, rest;
    try {
      [name, ...rest] = kinds[e.kind](e);
    } catch {
      [name, ...rest] = [[line(e.kind)], pre(JSON.stringify(e, null, 2), "Entry")]; // of a kind this page does not know
    }
    const stamp = el("a", "stamp", span("number", `#${e.seq}`), " ", time(e.at));
    stamp.href = `#e${e.seq}`;
    node.replaceChildren(stamp, el("div", "content", el("div", "name", ...name.filter((c) => c !== "")), ...rest.filter(Boolean)));
  };

  const add = (e, into) => {
    const key = e.kind === "tool" && e.tool ? partKey(e.prompt_id, "tool", e.tool.call) : e.kind === "boot" && e.boot ? partKey("", "boot", e.boot.phase) : "";
    const state = (e.tool ?? e.boot)?.state;
    const open = key && calls.get(key);
    if (open) {
      // What was told when it began is kept where the end does not tell it again. The later number stays reachable.
      const began = open.event, merged = { ...began, [e.kind]: { ...began[e.kind], ...e[e.kind] } };
      const wasOpen = open.node.querySelector("details")?.open;
      fill(open.node, merged);
      const anchor = span("anchor");
      anchor.id = `e${e.seq}`;
      open.node.append(anchor);
      if (wasOpen) open.node.querySelector("details")?.setAttribute("open", "");
      if (state === "running") open.event = merged; else calls.delete(key);
      return;
    }
    const node = el("article", `entry k-${String(e.kind).replace(/[^a-z_]/g, "")}`);
    node.id = `e${e.seq}`;
    fill(node, e);
    into.append(node);
    if (key && state === "running") calls.set(key, { node, event: e });
  };

  const forget = (test) => {
    for (const [key, part] of live) if (test(part)) { part.node.remove(); live.delete(key); }
  };

  const addAll = (events) => {
    const into = document.createDocumentFragment();
    for (const e of events) {
      if (e.seq <= last) continue;
      last = e.seq;
      if ((e.kind === "text" || e.kind === "reasoning") && e.text) {
        const key = partKey(e.prompt_id, e.kind, e.text.part);
        finished.add(key);
        forget((p) => p.key === key);
      }
      if (e.kind === "retry") forget((p) => p.prompt === e.prompt_id);
      if (e.kind === "turn" && (e.turn?.state === "started" || e.turn?.state === "ended")) {
        forget((p) => p.prompt === e.prompt_id);
        if (e.turn.state === "started") finished.clear(); // a turn that is run again may name its parts alike
      }
      // What was under way in another turn or boot does not end in this one.
      if (e.kind === "turn" && e.turn?.state !== "working" || e.kind === "sandbox" && e.sandbox?.state === "spawning") calls.clear();
      add(e, into);
    }
    log.append(into);
  };

  const bytes = new TextEncoder();
  const addDelta = (d) => {
    const key = partKey(d.prompt_id, d.kind, d.part);
    if (finished.has(key)) return;
    let part = live.get(key);
    if (!part) {
      const text = el("div", "prose");
      const node = el("article", `entry live k-${d.kind === "reasoning" ? "reasoning" : "text"}`, span("stamp", "now"),
        el("div", "content", el("div", "name", "Agent"), d.kind === "reasoning" ? fold("Reasoning", text) : text));
      part = { key, prompt: d.prompt_id, node, text, raw: "", length: 0 };
      live.set(key, part);
      writing.append(node);
    }
    if (d.offset === 0) { part.raw = ""; part.length = 0; }
    if (d.offset < part.length) return;
    if (d.offset > part.length) { part.raw += part.raw ? " … " : "… "; } // pieces were lost; the finished part has them
    part.raw += d.text;
    part.length = d.offset + bytes.encode(d.text).length;
    part.text.textContent = plain(part.raw);
  };

  const showHead = (s) => {
    const set = (id, ...children) => {
      const node = document.getElementById(id);
      node.replaceChildren(...children);
      node.parentElement.hidden = children.length === 0;
    };
    document.title = line(s.title);
    document.getElementById("title").replaceChildren(bdi(s.title));
    set("state", line(s.state));
    document.getElementById("state").classList.toggle("busy", Boolean(s.busy));
    set("repo", ...(s.repo ? [line(s.repo), s.base ? span("quiet", ` from ${line(s.base)}`) : ""] : []));
    set("people", ...(s.people ?? []).flatMap((p, i) => i ? [", ", bdi(p)] : [bdi(p)]));
    set("model", line(s.model));
    set("cost", line(s.cost));
    set("pull", ...(s.pull ? [link(s.pull.url, `#${s.pull.number} `, bdi(s.pull.title)), span("quiet", ` ${line(s.pull.state)}`)] : []));
  };

  // Where the reader is

  let wanted = location.hash; // an entry that has not come yet
  const jump = () => {
    if (!/^#e\d+$/.test(wanted)) { wanted = ""; return; }
    const node = document.getElementById(wanted.slice(1));
    if (!node) return;
    node.closest(".entry")?.querySelectorAll("details").forEach((d) => { d.open = true; });
    const hash = wanted;
    wanted = "";
    location.replace(hash); // the browser marks the target anew, now that it is there
    node.scrollIntoView();
  };
  window.addEventListener("hashchange", () => { wanted = location.hash; jump(); });
  const atEnd = () => window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 80;
  const toEnd = () => window.scrollTo(0, document.documentElement.scrollHeight);
  document.getElementById("end").addEventListener("click", toEnd);

  // The socket

  let tries = 0, socket = null, timer = 0, caughtUp = false;
  const say = (text, cls) => {
    if (status.textContent !== text) status.textContent = text;
    status.className = cls ?? "";
  };

  const receive = (m) => {
    const follow = caughtUp && !wanted && atEnd();
    if (m.reset) {
      last = 0;
      calls.clear(); finished.clear(); forget(() => true);
      log.replaceChildren();
    }
    if (m.events) addAll(m.events);
    if (m.delta) addDelta(m.delta);
    if (m.session) { caughtUp = true; showHead(m.session); say(`Live: ${line(m.session.state)}`, "on"); }
    if (wanted) jump();
    if (follow) toEnd();
  };

  const connect = () => {
    clearTimeout(timer);
    const url = new URL(log.dataset.live, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("after", String(last));
    const s = socket = new WebSocket(url);
    s.addEventListener("message", (ev) => { tries = 0; receive(JSON.parse(ev.data)); });
    s.addEventListener("close", (ev) => {
      if (socket !== s) return;
      socket = null;
      if (ev.code === 1008) { say("This link has expired. Ask for a new one in the Slack thread.", "off"); return; }
      if (ev.code !== 1013) say("Connection lost; trying again…", "off");
      retry();
    });
  };

  // retry connects again after a pause that grows. Once it has failed twice, the page is asked whether there is any use in it.
  const retry = async () => {
    tries++;
    if (tries > 2) {
      try {
        const answer = await fetch(log.dataset.page, { method: "HEAD", cache: "no-store", redirect: "error" });
        if (answer.status === 403) { say("This link has expired. Ask for a new one in the Slack thread.", "off"); return; }
        if (answer.status === 404) { say("This session is not kept here any more.", "off"); return; }
      } catch { /* the server is away: go on trying */ }
    }
    timer = setTimeout(connect, Math.min(30000, 250 * 2 ** Math.min(tries, 8)) * (0.5 + Math.random() / 2));
  };
  const soon = () => { if (timer && !socket) { tries = 0; connect(); } };
  window.addEventListener("online", soon);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
  connect();
})();
