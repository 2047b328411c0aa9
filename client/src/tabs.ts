import type { drop, sync } from "./actions.js";
import type { again } from "./core.js";
import type { PushError } from "./http.js";
import type { Line } from "./line.js";
import type { random } from "./topics.js";
import type { page } from "./transports.js";
import type { Frame } from "./types.js";

/** What a Push knows of the tabs it shares a connection with. @internal */
export interface Tabs {
  /** Whether this tab has the connection. */
  _leads: boolean;
  /** What the others want to read. */
  _topics(): string[];
  /** Reads what the leading tab reads. */
  _read(line: Line): Promise<unknown>;
  /** Tells the others a message; says whether it is nothing for this tab, or nothing new. */
  _skip(frame: Frame): boolean;
}

/** What share.js, a file of its own, needs of client.js. @internal */
export interface Kit {
  _again: typeof again;
  _drop: typeof drop;
  _page: typeof page;
  _random: typeof random;
  _sync: typeof sync;
  _PushError: typeof PushError;
}
