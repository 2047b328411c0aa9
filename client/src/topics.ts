/** Checks what a caller gives as topics: in the path of a URL ".." would lead elsewhere. */
export const checked = (topics: unknown): string[] => {
  const list = [topics].flat() as string[];
  if (!list.every((t) => t?.match?.(/(^|\/)\.{0,2}(\/|$)|\p{Cs}/u) === null))
    throw TypeError(`${topics}: a topic is like "orders/42" or "orders/*"`);
  return list;
};

/** 128 random bits. */
export const random = (): string => crypto.getRandomValues(new Uint32Array(4)).join("-");

/** For headers, of which fetch takes every character as a byte. */
export const utf8 = (text?: string): string => String.fromCharCode(...new TextEncoder().encode(text));
