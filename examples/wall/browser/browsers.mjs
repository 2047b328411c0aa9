// The real browsers that tests drive, started when they are first needed.

import { after } from "node:test";
import puppeteer from "puppeteer-core";

const CHROMIUM_FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

// Profiles are new and empty: puppeteer makes and removes them.
const LAUNCH = {
  chromium: { browser: "chrome", executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: CHROMIUM_FLAGS },
  firefox: { browser: "firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr" },
};

export const BROWSERS = Object.keys(LAUNCH);

const running = new Map();

export async function browser(name) {
  if (!running.has(name)) running.set(name, await puppeteer.launch({ ...LAUNCH[name], headless: true }));
  return running.get(name);
}

after(() => Promise.all([...running.values()].map((b) => b.close())));
