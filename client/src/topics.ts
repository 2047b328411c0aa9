/** Checks what a caller gives as topics. */
export const checked = (topics: unknown): string[] => {
  const list = typeof topics === "string" ? [topics] : topics;
  if (!Array.isArray(list) || !list.every((t) => /^[^/]+(\/[^/]+)*$/.test(t))) {
    throw TypeError(`${topics}: a topic is like "orders/42", a pattern like "orders/*"`);
  }
  return list;
};

/** 128 random bits. */
export const random = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
