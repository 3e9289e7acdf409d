/** The library `cmsgpack`: values of Lua as MessagePack. */
import { type Library, type LuaApi, LuaType, pushLibrary } from '../engine/index.ts';

/** Deepest nesting; what lies deeper is packed as nil. */
const NESTED_MAX = 16;
const MISSING_BYTES = 'Missing bytes in input.';
const BAD_FORMAT = 'Bad data format in input.';

/** Pushes the library. */
export function messagePackLibrary(api: LuaApi, state: number): void {
  const library: Library = {
    pack: (running) => {
      const count = api.top(running);
      if (count === 0) return api.argumentError(running, 0, 'MessagePack pack needs input.');
      if (!api.hasRoom(running, 1)) return api.argumentError(running, 0, 'Too many arguments for MessagePack pack.');
      const packer = new Packer(api, running);
      for (let index = 1; index <= count; index++) {
        api.pushValue(running, index);
        packer.take(0);
      }
      api.pushBytes(running, packer.bytes());
      return 1;
    },
    unpack: (running) => unpack(api, running, 0, 0),
    unpack_one: (running) => unpack(api, running, 1, offsetAt(api, running, 2)),
    unpack_limit: (running) => {
      const limit = Math.trunc(api.checkNumber(running, 2));
      return unpack(api, running, limit, offsetAt(api, running, 3));
    },
    _NAME: 'cmsgpack',
    _VERSION: 'lua-cmsgpack 0.4.0',
    _COPYRIGHT: 'Copyright (C) 2012, Salvatore Sanfilippo',
    _DESCRIPTION: 'MessagePack C implementation for Lua',
  };
  pushLibrary(api, state, library);
}

const offsetAt = (api: LuaApi, state: number, argument: number): number =>
  api.isNone(state, argument) ? 0 : Math.trunc(api.checkNumber(state, argument));

class Packer {
  private readonly api: LuaApi;
  private readonly state: number;
  private readonly pieces: Buffer[] = [];

  constructor(api: LuaApi, state: number) {
    this.api = api;
    this.state = state;
  }

  bytes(): Buffer {
    return Buffer.concat(this.pieces);
  }

  /** Packs the topmost value and takes it off. */
  take(depth: number): void {
    const { api, state } = this;
    switch (api.type(state, -1)) {
      case LuaType.String:
        this.text(api.toBytes(state, -1)!);
        break;
      case LuaType.Boolean:
        this.byte(api.toBoolean(state, -1) ? 0xc3 : 0xc2);
        break;
      case LuaType.Number:
        this.number(api.toNumber(state, -1));
        break;
      case LuaType.Table:
        if (depth === NESTED_MAX) this.byte(0xc0);
        else this.table(depth);
        break;
      default:
        this.byte(0xc0);
    }
    api.pop(state, 1);
  }

  private byte(byte: number): void {
    this.pieces.push(Buffer.from([byte]));
  }

  private withLength(mark: number, bytes: 1 | 2 | 4, length: number): void {
    const piece = Buffer.alloc(1 + bytes);
    piece[0] = mark;
    piece.writeUIntBE(length, 1, bytes);
    this.pieces.push(piece);
  }

  private text(bytes: Buffer): void {
    const { length } = bytes;
    if (length < 32) this.byte(0xa0 | length);
    else if (length <= 0xff) this.withLength(0xd9, 1, length);
    else if (length <= 0xffff) this.withLength(0xda, 2, length);
    else this.withLength(0xdb, 4, length);
    this.pieces.push(bytes);
  }

  private number(number: number): void {
    if (Number.isInteger(number) && number >= -(2 ** 63) && number < 2 ** 63) {
      this.integer(number);
      return;
    }
    if (Math.fround(number) === number) {
      const piece = Buffer.alloc(5);
      piece[0] = 0xca;
      piece.writeFloatBE(number, 1);
      this.pieces.push(piece);
    } else {
      const piece = Buffer.alloc(9);
      piece[0] = 0xcb;
      piece.writeDoubleBE(number, 1);
      this.pieces.push(piece);
    }
  }

  private integer(number: number): void {
    if (number >= 0) {
      if (number < 128) this.byte(number);
      else if (number <= 0xff) this.withLength(0xcc, 1, number);
      else if (number <= 0xffff) this.withLength(0xcd, 2, number);
      else if (number <= 0xffff_ffff) this.withLength(0xce, 4, number);
      else this.wide(0xcf, number);
    } else if (number >= -32) this.byte(number & 0xff);
    else if (number >= -0x80) this.withLength(0xd0, 1, number & 0xff);
    else if (number >= -0x8000) this.withLength(0xd1, 2, number & 0xffff);
    else if (number >= -0x8000_0000) this.withLength(0xd2, 4, number >>> 0);
    else this.wide(0xd3, number);
  }

  private wide(mark: number, number: number): void {
    const piece = Buffer.alloc(9);
    piece[0] = mark;
    piece.writeBigUInt64BE(BigInt.asUintN(64, BigInt(number)), 1);
    this.pieces.push(piece);
  }

  private table(depth: number): void {
    const { api, state } = this;
    const length = this.arrayLength();
    if (length !== undefined) {
      if (length <= 15) this.byte(0x90 | length);
      else if (length <= 0xffff) this.withLength(0xdc, 2, length);
      else this.withLength(0xdd, 4, length);
      for (let position = 1; position <= length; position++) {
        this.requireRoom();
        api.pushNumber(state, position);
        api.getTable(state, -2);
        this.take(depth + 1);
      }
      return;
    }
    let entries = 0;
    api.pushNil(state);
    while (api.next(state, -2)) {
      api.pop(state, 1);
      entries++;
    }
    if (entries <= 15) this.byte(0x80 | entries);
    else if (entries <= 0xffff) this.withLength(0xde, 2, entries);
    else this.withLength(0xdf, 4, entries);
    this.requireRoom();
    api.pushNil(state);
    while (api.next(state, -2)) {
      api.pushValue(state, -2);
      this.take(depth + 1);
      this.take(depth + 1);
    }
  }

  /** How many elements the table on the top has when it is an array: its keys are the numbers from 1 on. An empty table is one. */
  private arrayLength(): number | undefined {
    const { api, state } = this;
    let count = 0;
    let highest = 0;
    this.requireRoom();
    api.pushNil(state);
    while (api.next(state, -2)) {
      api.pop(state, 1);
      const key = api.type(state, -1) === LuaType.Number ? api.toNumber(state, -1) : 0;
      if (!Number.isInteger(key) || key <= 0) {
        api.pop(state, 1);
        return undefined;
      }
      highest = Math.max(highest, key);
      count++;
    }
    return highest === count ? count : undefined;
  }

  private requireRoom(): void {
    if (!this.api.hasRoom(this.state, 5))
      this.api.raiseHere(this.state, 'stack overflow (in function mp_encode_lua_table)');
  }
}

/**
 * Unpacks values from an offset on, as many as the limit says, or all for neither limit nor offset. An answer that is
 * not all begins with the offset to go on from, -1 at the end.
 */
function unpack(api: LuaApi, state: number, limit: number, offset: number): number {
  const bytes = api.checkBytes(state, 1);
  if (limit < 0 || offset < 0) {
    return api.raiseHere(state, `Invalid request to unpack with offset of ${offset} and limit of ${bytes.length}.`);
  }
  if (offset > bytes.length) {
    return api.raiseHere(state, `Start offset ${offset} greater than input length ${bytes.length}.`);
  }
  const unpacker = new Unpacker(api, state, bytes, offset);
  const isAll = limit === 0 && offset === 0;
  const most = limit === 0 ? Number.POSITIVE_INFINITY : limit;
  let results = 0;
  while (unpacker.hasMore && results < most) {
    unpacker.push();
    results++;
  }
  if (isAll) return results;
  api.pushNumber(state, unpacker.hasMore ? unpacker.position : -1);
  api.insert(state, -(results + 1));
  return results + 1;
}

class Unpacker {
  position: number;
  private readonly api: LuaApi;
  private readonly state: number;
  private readonly bytes: Buffer;

  constructor(api: LuaApi, state: number, bytes: Buffer, position: number) {
    this.api = api;
    this.state = state;
    this.bytes = bytes;
    this.position = position;
  }

  get hasMore(): boolean {
    return this.position < this.bytes.length;
  }

  /** Pushes the next value. */
  push(): void {
    const { api, state } = this;
    if (!api.hasRoom(state, 5))
      api.raiseHere(state, 'too many return values at once; use unpack_one or unpack_limit instead.');
    const mark = this.number(1);
    if (mark < 0x80) api.pushNumber(state, mark);
    else if (mark >= 0xe0) api.pushNumber(state, mark - 256);
    else if (mark < 0x90) this.map(mark & 15);
    else if (mark < 0xa0) this.array(mark & 15);
    else if (mark < 0xc0) this.text(mark & 31);
    else this.marked(mark);
  }

  private marked(mark: number): void {
    const { api, state } = this;
    switch (mark) {
      case 0xc0:
        api.pushNil(state);
        return;
      case 0xc2:
      case 0xc3:
        api.pushBoolean(state, mark === 0xc3);
        return;
      case 0xd9:
        this.text(this.number(1));
        return;
      case 0xda:
        this.text(this.number(2));
        return;
      case 0xdb:
        this.text(this.number(4));
        return;
      case 0xca:
        api.pushNumber(state, this.take(4).readFloatBE());
        return;
      case 0xcb:
        api.pushNumber(state, this.take(8).readDoubleBE());
        return;
      case 0xcc:
      case 0xcd:
      case 0xce:
        api.pushNumber(state, this.number(1 << (mark - 0xcc)));
        return;
      case 0xcf:
        api.pushNumber(state, Number(this.take(8).readBigUInt64BE()));
        return;
      case 0xd0:
      case 0xd1:
      case 0xd2: {
        const length = 1 << (mark - 0xd0);
        api.pushNumber(state, this.take(length).readIntBE(0, length));
        return;
      }
      case 0xd3:
        api.pushNumber(state, Number(this.take(8).readBigInt64BE()));
        return;
      case 0xdc:
        this.array(this.number(2));
        return;
      case 0xdd:
        this.array(this.number(4));
        return;
      case 0xde:
        this.map(this.number(2));
        return;
      case 0xdf:
        this.map(this.number(4));
        return;
      default:
        api.raiseHere(state, BAD_FORMAT);
    }
  }

  private number(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }

  private take(length: number): Buffer {
    const end = this.position + length;
    if (end > this.bytes.length) this.api.raiseHere(this.state, MISSING_BYTES);
    const piece = this.bytes.subarray(this.position, end);
    this.position = end;
    return piece;
  }

  private text(length: number): void {
    this.api.pushBytes(this.state, this.take(length));
  }

  private array(length: number): void {
    const { api, state } = this;
    api.newTable(state);
    for (let position = 1; position <= length; position++) {
      api.pushNumber(state, position);
      this.push();
      api.rawSet(state, -3);
    }
  }

  private map(length: number): void {
    const { api, state } = this;
    api.newTable(state);
    for (let entry = 0; entry < length; entry++) {
      this.push();
      this.push();
      api.setTable(state, -3);
    }
  }
}
