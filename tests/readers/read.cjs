// Reads golden exports with npm ical.js and compares what it understands with what each was made to say.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const assert = require("node:assert/strict");
const ICAL = require("ical.js").default ?? require("ical.js");

function text(time) {
  return time.isDate ? time.toString() : time.toJSDate().toISOString().replace(".000Z", "Z");
}

function understood(body) {
  const calendar = new ICAL.Component(ICAL.parse(body));
  const events = calendar.getAllSubcomponents("vevent").map((component) => {
    const event = new ICAL.Event(component);
    assert.ok(event.startDate.compare(event.endDate) < 0, "an end that is not after its start");
    return { uid: event.uid, start: text(event.startDate), end: text(event.endDate), summary: event.summary };
  });
  // The type of an X- property is unknown to it (RFC 5545 3.8.8.2 says text), so it is told.
  const name = ICAL.design.icalendar.value.text.fromICAL(calendar.getFirstPropertyValue("x-wr-calname") ?? "");
  return { name, events };
}

const folder = process.argv[2];
const files = fs.readdirSync(folder).filter((name) => name.endsWith(".ics")).sort();
let failed = 0;
for (const name of files) {
  const file = path.join(folder, name);
  try {
    const said = JSON.parse(fs.readFileSync(file.replace(/\.ics$/, ".json"), "utf8"));
    assert.deepEqual(understood(fs.readFileSync(file, "utf8")), said);
  } catch (problem) {
    failed += 1;
    console.log(`FAILED ${name}: ${problem.message}`);
  }
}
console.log(`ical.js: ${files.length - failed} passed, ${failed} failed`);
process.exit(failed || files.length === 0 ? 1 : 0);
