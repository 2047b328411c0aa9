/** What an event stream says. */
export interface Sink {
  event(type: string, data: string, id: string): void;
  retry(ms: number): void;
}

/**
 * Returns a parser of text/event-stream by the WHATWG rules ("9.2.6 Interpreting
 * an event stream"), to be fed with text in pieces of any size. It throws when
 * an event or a line gets longer than most characters.
 */
export const parser = (sink: Sink, id: string, most: number): ((text: string) => void) => {
  let rest = ""; // a line that has no end yet
  let cr = false; // the last piece ended with CR: an LF that follows is no line
  let type = "";
  let data: string[] = [];
  let size = 0;

  const line = (text: string) => {
    if (!text) {
      if (data.length) sink.event(type || "message", data.join("\n"), id);
      else sink.event("", "", id); // only the id may have changed
      type = "";
      data = [];
      size = 0;
      return;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + (text[colon + 1] === " " ? 2 : 1));
    if (field === "data") {
      data.push(value);
      size += value.length + 1;
    } else if (field === "event") type = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) sink.retry(+value);
  };

  return (text) => {
    if (!text) return;
    if (cr && text[0] === "\n") text = text.slice(1);
    cr = text.endsWith("\r");
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    lines.forEach(line);
    if (rest.length + size > most) throw new Error("an event that does not end");
  };
};
