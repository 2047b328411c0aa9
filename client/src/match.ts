/** Whether a pattern matches a topic, as docs/PROTOCOL.md says. */
export const match = (pattern: string, topic: string): boolean => {
  const p = pattern.split("/");
  const t = topic.split("/");
  if (topic[0] === "$" && p[0]![0] === "*") return false;
  if (p.at(-1) === "**") (p.pop(), t.length >= p.length && (t.length = p.length));
  return p.length === t.length && p.every((segment, i) => segment === "*" || segment === t[i]);
};
