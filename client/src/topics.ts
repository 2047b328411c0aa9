/** Checks what a caller gives as topics. */
export const checked = (topics: unknown): string[] => {
  const list = [topics].flat() as string[];
  if (!list.every((t) => t?.match?.(/^[^/]+(\/[^/]+)*$/)))
    throw TypeError(`${topics}: a topic is like "orders/42" or "orders/*"`);
  return list;
};

/** 128 random bits. */
export const random = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");
