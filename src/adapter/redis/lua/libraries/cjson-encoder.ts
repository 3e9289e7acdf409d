/** Writes values of Lua as JSON. */
import { generalText } from '../../protocol/index.ts';
import { type LuaApi, LuaType } from '../engine/index.ts';
import type { JsonSettings } from './cjson-settings.ts';

const NAMES: Readonly<Record<number, string>> = {
  [LuaType.Boolean]: 'boolean',
  [LuaType.LightUserdata]: 'userdata',
  [LuaType.Table]: 'table',
  [LuaType.Function]: 'function',
  [LuaType.Userdata]: 'userdata',
  [LuaType.Thread]: 'thread',
};

const SHORT_ESCAPES: Readonly<Record<number, string>> = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  12: '\\f',
  13: '\\r',
  34: '\\"',
  47: '\\/',
  92: '\\\\',
};

/** What stands for each byte that may not stand for itself. */
const ESCAPES: readonly (Buffer | undefined)[] = Array.from({ length: 256 }, (_, byte) => {
  const short = SHORT_ESCAPES[byte];
  if (short !== undefined) return Buffer.from(short, 'latin1');
  return byte < 32 || byte === 127 ? Buffer.from(`\\u${byte.toString(16).padStart(4, '0')}`, 'latin1') : undefined;
});

/** What writing a byte of a string costs, and one that may not stand for itself. */
const INSTRUCTIONS_A_BYTE = 0.5;
const INSTRUCTIONS_AN_ESCAPE = 10;

const HIGHEST_INT = 2 ** 31 - 1;

export class JsonEncoder {
  private readonly api: LuaApi;
  private readonly state: number;
  private readonly settings: JsonSettings;
  private readonly pieces: Buffer[] = [];
  private depth = 0;

  constructor(api: LuaApi, state: number, settings: JsonSettings) {
    this.api = api;
    this.state = state;
    this.settings = settings;
  }

  /** The topmost value, which stays. */
  encode(): Buffer {
    this.value();
    return Buffer.concat(this.pieces);
  }

  private add(text: string): void {
    this.pieces.push(Buffer.from(text, 'latin1'));
  }

  private value(): void {
    const { api, state } = this;
    const type = api.type(state, -1);
    switch (type) {
      case LuaType.String:
        this.text(api.toBytes(state, -1)!);
        return;
      case LuaType.Number:
        this.number(api.toNumber(state, -1));
        return;
      case LuaType.Boolean:
        this.add(api.toBoolean(state, -1) ? 'true' : 'false');
        return;
      case LuaType.Table:
        this.table();
        return;
      case LuaType.Nil:
        this.add('null');
        return;
      default:
        if (type === LuaType.LightUserdata && api.identity(state, -1) === 0) this.add('null');
        else this.refuse('type not supported');
    }
  }

  /** Refuses the topmost value. */
  private refuse(why: string): never {
    const name = NAMES[this.api.type(this.state, -1)] ?? 'number';
    return this.api.raiseHere(this.state, `Cannot serialise ${name}: ${why}`);
  }

  private number(number: number): void {
    const { encodeInvalid, digits } = this.settings;
    if (!Number.isFinite(number)) {
      if (encodeInvalid === 'off') this.refuse('must not be NaN or Inf');
      if (encodeInvalid === 'null') {
        this.add('null');
        return;
      }
    }
    this.add(generalText(number, digits));
  }

  private text(bytes: Buffer): void {
    const { pieces } = this;
    this.add('"');
    this.api.onWork(bytes.length * INSTRUCTIONS_A_BYTE);
    let from = 0;
    for (let index = 0; index < bytes.length; index++) {
      const escaped = ESCAPES[bytes[index]!];
      if (escaped === undefined) continue;
      if (index > from) pieces.push(bytes.subarray(from, index));
      pieces.push(escaped);
      this.api.onWork(INSTRUCTIONS_AN_ESCAPE);
      from = index + 1;
    }
    pieces.push(from === 0 ? bytes : bytes.subarray(from));
    this.add('"');
  }

  private table(): void {
    const { api, state, settings } = this;
    this.depth++;
    if (this.depth > settings.encodeDepth || !api.hasRoom(state, 3)) {
      api.raiseHere(state, `Cannot serialise, excessive nesting (${this.depth})`);
    }
    const length = this.arrayLength();
    if (length > 0) this.array(length);
    else this.object();
    this.depth--;
  }

  private array(length: number): void {
    const { api, state } = this;
    for (let position = 1; position <= length; position++) {
      this.add(position === 1 ? '[' : ',');
      api.rawGetAt(state, -1, position);
      this.value();
      api.pop(state, 1);
    }
    this.add(']');
  }

  private object(): void {
    const { api, state, settings } = this;
    let opening = '{';
    api.pushNil(state);
    while (api.next(state, -2)) {
      this.add(opening);
      opening = ',';
      const type = api.type(state, -2);
      if (type === LuaType.Number) {
        this.add(`"${generalText(api.toNumber(state, -2), settings.digits)}":`);
      } else if (type === LuaType.String) {
        this.text(api.toBytes(state, -2)!);
        this.add(':');
      } else {
        api.pop(state, 1);
        this.refuse('table key must be a number or string');
      }
      this.value();
      api.pop(state, 1);
    }
    this.add(opening === '{' ? '{}' : '}');
  }

  /** The highest index of the table on the top, when all its keys are indexes and they are dense enough; else -1. */
  private arrayLength(): number {
    const { api, state, settings } = this;
    let highest = 0;
    let count = 0;
    api.pushNil(state);
    while (api.next(state, -2)) {
      api.pop(state, 1);
      const key = api.type(state, -1) === LuaType.Number ? api.toNumber(state, -1) : 0;
      if (!Number.isInteger(key) || key < 1) {
        api.pop(state, 1);
        return -1;
      }
      // An index beyond 32 bits is what the usual processors make of it, and the table is then no array.
      if (key > highest) highest = key <= HIGHEST_INT ? key : -HIGHEST_INT - 1;
      count++;
    }
    const { sparseRatio, sparseSafe, convertSparse } = settings;
    if (sparseRatio > 0 && highest > count * sparseRatio && highest > sparseSafe) {
      if (!convertSparse) this.refuse('excessively sparse array');
      return -1;
    }
    return highest;
  }
}
