/** Lengths and counts from 0 to 2^53 - 1 in as few bytes as they need: LEB128, seven bits a byte, the lowest first. */

/** Bytes that `writeVarint` writes. */
export function varintBytes(value: number): number {
  if (value < 0x80) return 1;
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

/** @returns the offset behind what was written */
export function writeVarint(target: Buffer, at: number, value: number): number {
  let rest = value;
  let offset = at;
  while (rest >= 0x80) {
    target[offset++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  target[offset++] = rest;
  return offset;
}
