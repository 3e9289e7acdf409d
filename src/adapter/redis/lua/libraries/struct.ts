/** The library `struct`: values packed into bytes by a format, as C would lay them out on a 64-bit machine. */
import type { Library, LuaApi } from '../engine/index.ts';

const LARGEST_ALIGNMENT = 8;
const LARGEST_INTEGER = 32;
const LARGEST_COUNT = 0x7fff_ffff;
const C_INT_BYTES = 4;

const FIXED_BYTES: Readonly<Record<string, number>> = { b: 1, B: 1, h: 2, H: 2, l: 8, L: 8, T: 8, f: 4, d: 8, x: 1 };
const INTEGERS = 'bBhHlLTiI';
const NUMBER_OF_64_BITS = 2 ** 64;

/** A format on its way through: what comes next, and what holds until it says otherwise. */
class Format {
  isLittle = true;
  private alignment = 1;
  private position = 0;
  private readonly api: LuaApi;
  private readonly state: number;
  private readonly text: string;

  constructor(api: LuaApi, state: number) {
    this.api = api;
    this.state = state;
    this.text = api.checkBytes(state, 1).toString('latin1');
  }

  /** The next option and the bytes that it takes, 0 when it depends on the value; undefined at the end. */
  next(): { readonly option: string; readonly bytes: number } | undefined {
    // A format ends with its first zero byte, as C's strings do.
    const option = this.text[this.position];
    if (option === undefined || option === '\0') return undefined;
    this.position++;
    return { option, bytes: this.bytesOf(option) };
  }

  /** Bytes to leave out before a value, so that it is aligned. */
  padding(position: number, option: string, bytes: number): number {
    if (bytes === 0 || option === 'c') return 0;
    const unit = Math.min(bytes, this.alignment);
    return (unit - (position & (unit - 1))) & (unit - 1);
  }

  /** What an option says about those behind it. */
  control(option: string): void {
    switch (option) {
      case ' ':
        return;
      case '>':
        this.isLittle = false;
        return;
      case '<':
        this.isLittle = true;
        return;
      case '!': {
        const alignment = this.count(LARGEST_ALIGNMENT);
        if (alignment <= 0 || (alignment & (alignment - 1)) !== 0) {
          this.api.raiseHere(this.state, `alignment ${alignment} is not a power of 2`);
        }
        this.alignment = alignment;
        return;
      }
      default:
        this.api.argumentError(this.state, 1, `invalid format option '${option}'`);
    }
  }

  private bytesOf(option: string): number {
    if (option === 'c') return this.count(1);
    if (option !== 'i' && option !== 'I') return FIXED_BYTES[option] ?? 0;
    const bytes = this.count(C_INT_BYTES);
    if (bytes > LARGEST_INTEGER) {
      this.api.raiseHere(this.state, `integral size ${bytes} is larger than limit of ${LARGEST_INTEGER}`);
    }
    return bytes;
  }

  /** The number that stands next in the format. */
  private count(otherwise: number): number {
    let number: number | undefined;
    for (;;) {
      const digit = this.text.charCodeAt(this.position) - 48;
      if (!(digit >= 0 && digit <= 9)) return number ?? otherwise;
      if ((number ?? 0) > Math.floor((LARGEST_COUNT - digit) / 10))
        this.api.raiseHere(this.state, 'integral size overflow');
      number = (number ?? 0) * 10 + digit;
      this.position++;
    }
  }
}

/** The library's functions. */
export function structLibrary(api: LuaApi): Library {
  return {
    pack: (state) => pack(api, state),
    unpack: (state) => unpack(api, state),
    size: (state) => size(api, state),
  };
}

function pack(api: LuaApi, state: number): number {
  const format = new Format(api, state);
  // A value that is missing is told as nil.
  api.pushNil(state);
  const pieces: Buffer[] = [];
  let total = 0;
  const add = (piece: Buffer): void => {
    pieces.push(piece);
    total += piece.length;
  };
  let argument = 2;
  for (let part = format.next(); part !== undefined; part = format.next()) {
    const { option, bytes } = part;
    add(Buffer.alloc(format.padding(total, option, bytes)));
    if (INTEGERS.includes(option)) {
      add(integerBytes(api.checkNumber(state, argument++), bytes, format.isLittle));
    } else if (option === 'x') {
      add(Buffer.alloc(1));
    } else if (option === 'f' || option === 'd') {
      add(floatBytes(api.checkNumber(state, argument++), bytes, format.isLittle));
    } else if (option === 'c' || option === 's') {
      const text = api.checkBytes(state, argument++);
      const taken = bytes === 0 ? text.length : bytes;
      if (text.length < taken) return api.argumentError(state, argument, 'string too short');
      add(text.subarray(0, taken));
      if (option === 's') add(Buffer.alloc(1));
    } else {
      format.control(option);
    }
  }
  api.pushBytes(state, Buffer.concat(pieces, total));
  return 1;
}

function unpack(api: LuaApi, state: number): number {
  const format = new Format(api, state);
  const data = api.checkBytes(state, 2);
  const from = api.isNone(state, 3) ? 1 : Math.trunc(api.checkNumber(state, 3));
  if (from <= 0) return api.argumentError(state, 3, 'offset must be 1 or greater');
  let position = from - 1;
  let results = 0;
  const requireBytes = (bytes: number): void => {
    if (bytes > data.length || position > data.length - bytes) api.argumentError(state, 2, 'data string too short');
  };
  for (let part = format.next(); part !== undefined; part = format.next()) {
    const { option } = part;
    let { bytes } = part;
    position += format.padding(position, option, bytes);
    requireBytes(bytes);
    if (!api.hasRoom(state, 2)) return api.raiseHere(state, 'stack overflow (too many results)');
    if (INTEGERS.includes(option)) {
      const value = data.subarray(position, position + bytes);
      api.pushNumber(state, integerIn(value, format.isLittle, option === option.toLowerCase()));
      results++;
    } else if (option === 'f' || option === 'd') {
      api.pushNumber(state, floatIn(data.subarray(position, position + bytes), format.isLittle));
      results++;
    } else if (option === 'c') {
      if (bytes === 0) {
        if (results === 0 || !api.isNumber(state, -1)) return api.raiseHere(state, "format 'c0' needs a previous size");
        // A negative size is a huge one to C.
        bytes = Number(BigInt.asUintN(64, wholeOf(api.toNumber(state, -1))));
        api.pop(state, 1);
        results--;
        requireBytes(bytes);
      }
      api.pushBytes(state, data.subarray(position, position + bytes));
      results++;
    } else if (option === 's') {
      const end = data.indexOf(0, position);
      if (end < 0) return api.raiseHere(state, 'unfinished string in data');
      bytes = end - position + 1;
      api.pushBytes(state, data.subarray(position, end));
      results++;
    } else if (option !== 'x') {
      format.control(option);
    }
    position += bytes;
  }
  api.pushNumber(state, position + 1);
  return results + 1;
}

function size(api: LuaApi, state: number): number {
  const format = new Format(api, state);
  let position = 0;
  for (let part = format.next(); part !== undefined; part = format.next()) {
    const { option, bytes } = part;
    position += format.padding(position, option, bytes);
    if (option === 's') return api.argumentError(state, 1, "option 's' has no fixed size");
    if (option === 'c' && bytes === 0) return api.argumentError(state, 1, "option 'c0' has no fixed size");
    if (!/[A-Za-z0-9]/.test(option)) format.control(option);
    position += bytes;
  }
  api.pushNumber(state, position);
  return 1;
}

/** The lowest `bytes` bytes of a number without its fraction, of which 64 bits count. */
function integerBytes(number: number, bytes: number, isLittle: boolean): Buffer {
  let rest = BigInt.asUintN(64, wholeOf(number));
  const result = Buffer.alloc(bytes);
  for (let index = 0; index < bytes; index++) {
    result[isLittle ? index : bytes - 1 - index] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return result;
}

/** What 64 bits do not hold is what the usual processors make of it. */
function wholeOf(number: number): bigint {
  if (number >= NUMBER_OF_64_BITS) return 0n;
  if (Number.isNaN(number) || number < -NUMBER_OF_64_BITS / 2) return 1n << 63n;
  return BigInt(Math.trunc(number));
}

function integerIn(bytes: Buffer, isLittle: boolean, isSigned: boolean): number {
  let value = 0n;
  for (let index = 0; index < bytes.length; index++) {
    value = (value << 8n) | BigInt(bytes[isLittle ? bytes.length - 1 - index : index]!);
  }
  // Of longer ones the lowest 64 bits count.
  const bits = BigInt.asUintN(64, value);
  return Number(isSigned ? BigInt.asIntN(Math.min(64, bytes.length * 8), bits) : bits);
}

function floatBytes(number: number, bytes: number, isLittle: boolean): Buffer {
  const result = Buffer.alloc(bytes);
  if (bytes === 4) isLittle ? result.writeFloatLE(number) : result.writeFloatBE(number);
  else isLittle ? result.writeDoubleLE(number) : result.writeDoubleBE(number);
  return result;
}

function floatIn(bytes: Buffer, isLittle: boolean): number {
  if (bytes.length === 4) return isLittle ? bytes.readFloatLE() : bytes.readFloatBE();
  return isLittle ? bytes.readDoubleLE() : bytes.readDoubleBE();
}
