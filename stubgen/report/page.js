"use strict";
const { told, account, plan, names, version } = JSON.parse(document.getElementById("data").textContent);
const STEP = 200; // rows that a table shows at a time
const KINDS = {
  trampoline: "good", slot: "good", absolute: "good", tls: "good", loader: "", linker: "", "weak-null": "warn",
  refused: "bad", ambiguous: "bad", missing: "bad",
};
const COLOURS = {
  "object": "#2f6fde", "stub object": "#1f9d63", "borrowed member": "#8957c9", "archive member": "#c17a12",
  "another object of the link": "#b0498e", "start-up code": "#7b8794", "run-time library": "#5d8f8f", "linker": "#a0a7b1",
  "an input": "#c8342b", "nothing told": "#c8342b",
};
const TITLES = { object: "its objects" };

const hex = (value) => (value === null || value === undefined ? "" : "0x" + BigInt(value).toString(16));
const shown = (name) => names[name] ?? name;
const size = (bytes) => (bytes < 10240 ? `${bytes} B` : bytes < 10485760 ? `${Math.round(bytes / 1024)} KiB` : `${Math.round(bytes / 1048576)} MiB`);
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function nameCell(name) {
  const cell = element("td", shown(name), "name");
  if (names[name]) cell.title = name;
  return cell;
}

function filesCell(files) {
  const cell = element("td", files.map((file) => file.split("/").pop() || file).join(", "), "word");
  if (files.some((file) => file.includes("/"))) cell.title = files.join("\n");
  return cell;
}

function tagCell(text, kind) {
  const cell = element("td");
  cell.append(element("span", text, `tag ${kind}`));
  return cell;
}

function chips(place, entries, chosen) {
  for (const [key, label] of entries) {
    const chip = element("button", label);
    chip.type = "button";
    chip.dataset.key = key;
    chip.setAttribute("aria-pressed", "false");
    chip.onclick = () => {
      const pressed = chip.getAttribute("aria-pressed") !== "true";
      for (const other of place.children) other.setAttribute("aria-pressed", String(pressed && other === chip));
      chosen(pressed ? key : null);
    };
    place.append(chip);
  }
}

const bySource = (items, key) => {
  const found = new Map();
  for (const item of items) found.set(key(item), (found.get(key(item)) ?? 0) + 1);
  return [...found].sort((one, other) => other[1] - one[1]);
};
const originText = (origin) => (origin.member ? `${origin.file}(${origin.member})` : origin.file ?? "") || sourceTitle(origin.kind);
const sourceTitle = (kind) => TITLES[kind] ?? kind;
const sourceColour = (kind) => COLOURS[kind] ?? COLOURS["nothing told"];

function heads(section, titles, sortBy) {
  const row = element("tr");
  titles.forEach((title, number) => {
    const cell = element("th");
    if (sortBy) {
      const button = element("button", title);
      button.type = "button";
      button.onclick = () => sortBy(number);
      cell.append(button);
    } else cell.textContent = title;
    row.append(cell);
  });
  section.querySelector("thead").replaceChildren(row);
}

function glance() {
  const section = document.getElementById("glance");
  const output = told.output ?? "a patch";
  const slash = output.lastIndexOf("/");
  document.title = `${output.slice(slash + 1)} · stubgen`;
  document.getElementById("title").textContent = output.slice(slash + 1);
  const anchor = told.anchor ? `, ${told.anchor} at ${hex(told.anchor_runtime_address)}` : "";
  document.getElementById("subtitle").textContent = `slide ${hex(told.slide)}${anchor}`;
  const cards = section.querySelector(".cards");
  const card = (label, value) => {
    const made = element("div", undefined, "card");
    const text = String(value);
    made.append(element("b", text, text.length > 12 ? "long" : ""), element("span", label, "soft"));
    cards.append(made);
    return made;
  };
  const problems = (told.check?.findings ?? []).filter((finding) => !finding.ok);
  if (told.check) card("checked", problems.length ? "not sound" : "sound");
  card("trampolines", told.stubs ?? 0);
  card("needed symbols", (told.decisions ?? []).length);
  if (told.changes) for (const [change, number] of bySource(told.changes, (row) => row.change)) card(`functions ${change}`, number);
  if (told.jump_table) card("addresses in the jump table", told.jump_table.length);
  const kept = (told.duplicates ?? []).filter((variable) => variable.forwarded).length;
  if (told.duplicates?.length) card(`of ${count(told.duplicates.length, "shared variable")} are the host's`, kept);
  if (told.generation) card("generation", told.generation);
  if (told.identity?.host) card(`host's ${told.identity.host.kind ?? "build"}`, String(told.identity.host.value).slice(0, 12)).title = told.identity.host.value;
  const list = section.querySelector(".findings");
  for (const finding of told.check?.findings ?? []) {
    const row = element("li");
    const kind = finding.note ? "note" : finding.ok ? "ok" : "no";
    row.append(element("span", kind === "no" ? "NO" : kind, kind), element("span", finding.check), element("span", finding.message, "soft"));
    list.append(row);
  }
  for (const change of told.policies ?? []) {
    const row = element("li");
    row.append(element("span", "policy", "note"), element("span", change.policy),
      element("span", `${change.name ? shown(change.name) : "the link"}: ${change.before || "nothing"} → ${change.after || "nothing"} ${change.reason}`, "soft"));
    list.append(row);
  }
}

function symbolRows() {
  const needed = (told.decisions ?? []).map((decision) => ({
    name: decision.name, kind: decision.verdict, tone: KINDS[decision.verdict] ?? "", address: decision.runtime_address,
    from: decision.patch ? [decision.patch] : decision.used_by, why: [decision.reason, ...(decision.candidates ?? [])].join("; "),
  }));
  const order = Object.keys(COLOURS);
  const own = (item) => (order.includes(item.origin.kind) ? order.indexOf(item.origin.kind) : order.length);
  const named = (account?.definitions ?? []).filter((item) => item.name).sort((one, other) => own(one) - own(other));
  const defined = named.map((item) => ({
    name: item.name, kind: sourceTitle(item.origin.kind), tone: "", address: item.address, from: [originText(item.origin)],
    why: item.kind + (item.size ? ` of ${count(item.size, "byte")}` : "") + (item.section ? ` in ${item.section}` : "") +
      (item.host.length ? `; the host has one at ${hex(item.host[0].address)}` : ""),
  }));
  return [...needed, ...defined].map((row) => ({ ...row, text: `${row.name} ${shown(row.name)} ${row.from.join(" ")} ${row.why}`.toLowerCase() }));
}

function symbols() {
  const section = document.getElementById("symbols");
  const all = symbolRows();
  if (!all.length) return void (section.hidden = true);
  const keys = ["name", "kind", "address", "from", "why"];
  const state = { kind: null, words: [], sort: null, down: false, most: STEP };
  const body = section.querySelector("tbody");
  const draw = () => {
    let rows = all.filter((row) => (state.kind === null || row.kind === state.kind) && state.words.every((word) => row.text.includes(word)));
    if (state.sort !== null) {
      const key = keys[state.sort];
      const value = (row) => (key === "name" ? shown(row.name) : key === "from" ? row.from.join(", ") : row[key] ?? -1);
      rows = rows.sort((one, other) => (value(one) < value(other) ? -1 : value(one) > value(other) ? 1 : 0) * (state.down ? -1 : 1));
    }
    body.replaceChildren(...rows.slice(0, state.most).map((row) => {
      const line = element("tr");
      line.append(nameCell(row.name), tagCell(row.kind, row.tone), element("td", hex(row.address), "address"), filesCell(row.from), element("td", row.why, "soft"));
      return line;
    }));
    section.querySelector(".count").textContent = rows.length === all.length ? count(all.length, "symbol") : `${rows.length} of ${count(all.length, "symbol")}`;
    section.querySelector(".more").hidden = rows.length <= state.most;
  };
  heads(section, ["name", "what it is", "address", "used or defined by", "why"], (number) => {
    state.down = state.sort === number && !state.down;
    state.sort = number;
    draw();
  });
  chips(section.querySelector(".chips"), bySource(all, (row) => row.kind).map(([kind, number]) => [kind, `${kind} ${number}`]), (kind) => {
    state.kind = kind;
    state.most = STEP;
    draw();
  });
  section.querySelector("input").oninput = (event) => {
    state.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    state.most = STEP;
    draw();
  };
  section.querySelector(".more").onclick = () => {
    state.most += STEP;
    draw();
  };
  draw();
}

function layout() {
  const section = document.getElementById("layout");
  const sections = (account?.sections ?? []).filter((one) => one.size);
  if (!sections.length) return void (section.hidden = true);
  const largest = Math.max(...sections.map((one) => one.size));
  const kinds = new Set(sections.flatMap((one) => one.parts.map((part) => part.origin.kind)));
  for (const kind of kinds) {
    const key = element("span", sourceTitle(kind), "key");
    key.style.setProperty("--part", sourceColour(kind));
    section.querySelector(".legend").append(key);
  }
  const smallest = 3; // of a hundred: a section of a few bytes is seen, too
  for (const one of sections) {
    const row = element("div", undefined, "bar");
    const track = element("div", undefined, "track");
    track.style.width = `${Math.max((one.size / largest) * 100, smallest)}%`;
    const parts = one.parts.length ? one.parts : [{ origin: { kind: "nothing told", file: null }, size: one.size }];
    for (const part of parts) {
      const made = element("span");
      made.style.setProperty("--part", sourceColour(part.origin.kind));
      made.style.flexGrow = part.size;
      made.title = `${originText(part.origin)}: ${part.size} bytes`;
      track.append(made);
    }
    row.append(element("span", one.name, "name"), track, element("span", size(one.size), "size"));
    row.title = `${one.name} at ${hex(one.address)}`;
    section.querySelector(".bars").append(row);
  }
}

function changes() {
  const section = document.getElementById("changes");
  if (!told.changes && !told.replaced?.length) return void (section.hidden = true);
  const table = new Map();
  for (const entry of told.jump_table ?? []) table.set(`${entry.object} ${entry.name}`, [...(table.get(`${entry.object} ${entry.name}`) ?? []), entry]);
  const rows = told.changes ?? told.replaced.map((item) => ({ names: [item.name], object: item.object, change: "replaced", reason: "", replaced: item }));
  heads(section, ["function", "what became of it", "host → patch", "object", "why"]);
  for (const row of rows) {
    const entries = row.names.flatMap((name) => table.get(`${row.object} ${name}`) ?? []);
    const places = row.replaced ? row.replaced.host.map((copy) => ({ old: copy.static_address, new: row.replaced.address })) : entries;
    const line = element("tr");
    const tone = { changed: "good", added: "good", undecided: "warn", removed: "warn" }[row.change] ?? "";
    line.append(nameCell(row.names[0]), tagCell(row.change, tone), element("td", places.map((entry) => `${hex(entry.old)} → ${hex(entry.new)}`).join(", "), "address"),
      filesCell([row.object]), element("td", row.reason || (row.leads_to_change ? "it leads to one that changed" : ""), "soft"));
    section.querySelector("tbody").append(line);
  }
  for (const item of told.left_out ?? []) {
    const line = element("tr");
    line.append(nameCell(item.name), tagCell("left out", "warn"), element("td"), filesCell([item.object]), element("td", item.reason, "soft"));
    section.querySelector("tbody").append(line);
  }
}

function reach() {
  const section = document.getElementById("reach");
  if (!told.reach?.length) return void (section.hidden = true);
  const place = (row) => `${shown(row.function ?? row.symbol ?? "") || row.section}${row.offset ? `+${hex(row.offset)}` : ""}`;
  for (const one of told.reach) {
    const made = element("div", undefined, "reached");
    const list = element("ul");
    const say = (title, rows) => rows.length && list.append(element("li", `${title}: ${rows.join(", ")}`));
    say("called by", one.callers.filter((row) => row.through === null).map(place));
    say("called through a PLT, a stub or a veneer by", one.callers.filter((row) => row.through !== null).map(place));
    say("pointed to by", one.pointers.map(place));
    say("its address is taken by", one.taken.map(place));
    say("inlined into", one.inlined.map((row) => shown(row.function ?? "") + (row.copies > 1 ? ` (${row.copies} times)` : "")));
    say("specialised as", one.clones.map((row) => shown(row.name)));
    if (!list.children.length) list.append(element("li", "nothing, as far as code and data say"));
    made.append(element("h3", shown(one.name)), list);
    section.querySelector(".body").append(made);
  }
  if (!told.debug_information) section.querySelector(".body").append(element("p", "The host has no debug information, so inlined copies are not known.", "soft"));
}

function variables() {
  const section = document.getElementById("state");
  if (!told.duplicates?.length) return void (section.hidden = true);
  heads(section, ["variable", "what becomes of it", "bytes", "why"]);
  for (const variable of told.duplicates) {
    const line = element("tr");
    const [text, tone] = variable.forwarded ? ["the host's", "good"] : variable.writable ? ["starts afresh", "warn"] : ["a constant of its own", ""];
    const edited = !variable.initial_value_changed ? "" : variable.writable ? "its first value was edited: the process keeps the one that it has" : "its value was edited: code outside the patch reads the host's";
    line.append(nameCell(variable.name), tagCell(text, tone), element("td", variable.size || "", "number"), element("td", [variable.obstacle, edited].filter(Boolean).join("; "), "soft"));
    section.querySelector("tbody").append(line);
  }
}

function link() {
  const section = document.getElementById("link");
  if (!plan?.length) return void (section.hidden = true);
  heads(section, ["captured", "planned", "what became of it", "why"]);
  const lines = plan.map((edit) => {
    const line = element("tr", undefined, edit.action);
    line.dataset.action = edit.action;
    const tone = { dropped: "warn", added: "good", replaced: "good" }[edit.action] ?? "";
    line.append(element("td", edit.before.join(" "), "word"), element("td", edit.after.join(" "), "word"), tagCell(edit.action, tone), element("td", edit.why, "soft"));
    return line;
  });
  section.querySelector("tbody").append(...lines);
  chips(section.querySelector(".chips"), bySource(plan, (edit) => edit.action).map(([action, number]) => [action, `${action} ${number}`]), (action) => {
    for (const line of lines) line.hidden = action !== null && line.dataset.action !== action;
  });
}

function contents() {
  const list = element("ul");
  for (const section of document.querySelectorAll("main > section:not([hidden])")) {
    const item = element("li");
    const anchor = element("a", section.querySelector("h2").textContent);
    anchor.href = `#${section.id}`;
    item.append(anchor);
    list.append(item);
  }
  document.getElementById("contents").append(list);
}

document.getElementById("theme").onclick = () => {
  const root = document.documentElement;
  const dark = root.style.colorScheme ? root.style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.style.colorScheme = dark ? "light" : "dark";
};
document.getElementById("footer").textContent = `Made by hotpatch-stubgen ${version}, ${told.command ?? ""}. Hover a name for its mangled form.`;
for (const draw of [glance, symbols, layout, changes, reach, variables, link, contents]) draw();
