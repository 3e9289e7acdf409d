/**
 * Lua's C interface, as far as it is used here, over an instance of the interpreter. Strings are bytes. Every function that may raise a Lua error may
 * only be called from within a protected call; outside of one an error ends in Lua's panic, which throws `LuaPanicError`.
 */
import { KvorumError } from '../../../../platform/index.ts';
import { addHostFunctions, type HostFunction, type HostHook } from './host-functions.ts';
import { luaBinary } from './lua-binary.ts';
import { type ImportedInstance, luaImports } from './lua-imports.ts';
import { type WasmMemory, type WasmTable, wasm } from './web-assembly.ts';

export const LuaType = {
  None: -1,
  Nil: 0,
  Boolean: 1,
  LightUserdata: 2,
  Number: 3,
  String: 4,
  Table: 5,
  Function: 6,
  Userdata: 7,
  Thread: 8,
} as const;
export type LuaType = (typeof LuaType)[keyof typeof LuaType];

/** What a protected call answers. */
export const LuaStatus = { Ok: 0, RuntimeError: 2, SyntaxError: 3, MemoryError: 4, ErrorInHandler: 5 } as const;

export const GLOBALS_INDEX = -10_002;
export const REGISTRY_INDEX = -10_000;

/** The index of a value that the running function has taken with it, from 1 on. */
export const upvalueIndex = (number: number): number => GLOBALS_INDEX - number;

/** All results of a call. */
export const MULTIPLE_RESULTS = -1;

const COUNT_HOOK = 8;
/** Of the record that `lua_getinfo` fills: where the current line and the name of the source stand. */
const INFO = { bytes: 256, what: 12, source: 16, currentLine: 20 } as const;

/** Bytes that are read or copied in the time of an instruction, and those of long strings, which come into memory that nobody has used before. */
export const BYTES_PER_INSTRUCTION = 16;
export const LONG_BYTES_PER_INSTRUCTION = 4;

/** What a call of this interface costs in instructions, and how many are told of together. */
const CALL_INSTRUCTIONS = 10;
const CALLS_AT_ONCE = 1_000;

/** Bytes that are passed to Lua without an allocation of their own. */
const SCRATCH_BYTES = 65_536;

/** An error outside of every protected call: the interpreter is not usable any more. */
export class LuaPanicError extends KvorumError {
  readonly code = 'LUA_PANIC';
  readonly disposition = 'final';
}

/** No memory for what was to be given to Lua. */
export class LuaMemoryError extends KvorumError {
  readonly code = 'LUA_MEMORY';
  readonly disposition = 'final';
}

type Native = (...args: number[]) => number;

/** Where the code stands that runs on a level of the stack. */
export interface LuaPlace {
  /** `C`, `Lua` or `main`. */
  readonly what: string;
  readonly source: string;
  readonly line: number;
}

export class LuaApi {
  /** The main thread. */
  readonly state: number;
  /** Told of each call of a library's function; may raise an error. */
  onHostCall: (state: number) => void = () => undefined;
  /** Told of work within an instruction, in instructions. May throw anything but an error of Lua: the interpreter is not usable then. */
  onWork: (instructions: number) => void = () => undefined;
  private readonly memory: WasmMemory;
  private readonly table: WasmTable;
  private readonly native: Readonly<Record<string, Native>>;
  private readonly scratch: number;
  private readonly lengthAt: number;
  private readonly infoAt: number;
  private readonly names = new Map<string, number>();
  private bytes: Buffer;
  private toText = 0;
  private callsLeft = CALLS_AT_ONCE;

  /** @param maxBytes what the interpreter's memory may grow to */
  constructor(maxBytes: number) {
    const imported = {} as ImportedInstance;
    const instance = new wasm.Instance(luaBinary(), luaImports(imported, maxBytes));
    this.native = instance.exports as Readonly<Record<string, Native>>;
    this.memory = instance.exports.memory as WasmMemory;
    this.table = instance.exports.__indirect_function_table as WasmTable;
    Object.assign(imported, {
      memory: this.memory,
      table: this.table,
      stackSave: this.native.stackSave,
      stackRestore: this.native.stackRestore,
      setThrew: this.native.setThrew,
      view: () => this.view(),
      wentOver: (bytes: number) => this.onWork(bytes / BYTES_PER_INSTRUCTION),
    });
    this.bytes = Buffer.from(this.memory.buffer);
    this.native.emscripten_stack_init!();
    this.native.__wasm_call_ctors!();
    this.scratch = this.allocate(SCRATCH_BYTES);
    this.lengthAt = this.allocate(4);
    this.infoAt = this.allocate(INFO.bytes);
    this.state = this.native.luaL_newstate!();
    if (this.state === 0) throw new LuaMemoryError('no memory for a Lua state');
    const [panic] = this.addFunctions([
      (state) => {
        throw new LuaPanicError(this.textAt(state, -1));
      },
    ]);
    this.native.lua_atpanic!(this.state, panic!);
  }

  /** Makes functions known to the interpreter; the numbers are what `pushFunction` takes. */
  addFunctions(functions: readonly HostFunction[]): number[] {
    return addHostFunctions(this.table, 'function', functions);
  }

  addHook(hook: HostHook): number {
    return addHostFunctions(this.table, 'hook', [hook])[0]!;
  }

  /** Has a hook called after each `count` instructions; none with hook 0. */
  setCountHook(hook: number, count: number): void {
    this.native.lua_sethook!(this.state, hook, hook === 0 ? 0 : COUNT_HOOK, count);
  }

  openLibraries(): void {
    this.native.luaL_openlibs!(this.state);
    this.getGlobal(this.state, 'tostring');
    this.toText = this.reference(this.state);
  }

  top(state: number): number {
    return this.native.lua_gettop!(state);
  }

  setTop(state: number, index: number): void {
    this.native.lua_settop!(state, index);
  }

  /** Takes `count` values off the stack. */
  pop(state: number, count: number): void {
    this.native.lua_settop!(state, -count - 1);
  }

  /** @returns false when the stack cannot grow by that many */
  hasRoom(state: number, slots: number): boolean {
    return this.native.lua_checkstack!(state, slots) !== 0;
  }

  type(state: number, index: number): LuaType {
    return this.native.lua_type!(state, index) as LuaType;
  }

  /** The name of a value's type, as errors have it. */
  typeName(state: number, index: number): string {
    return this.cText(this.native.lua_typename!(state, this.type(state, index)));
  }

  toNumber(state: number, index: number): number {
    return this.native.lua_tonumber!(state, index);
  }

  /** True when a value is a number or a string that spells one. */
  isNumber(state: number, index: number): boolean {
    return this.native.lua_isnumber!(state, index) !== 0;
  }

  /** True for a function that is not written in Lua. */
  isHostFunction(state: number, index: number): boolean {
    return this.native.lua_iscfunction!(state, index) !== 0;
  }

  toBoolean(state: number, index: number): boolean {
    return this.native.lua_toboolean!(state, index) !== 0;
  }

  /** A copy of a string's bytes. A number on the stack is turned into its text there. @returns undefined when it is neither */
  toBytes(state: number, index: number): Buffer | undefined {
    this.count();
    const at = this.native.lua_tolstring!(state, index, this.lengthAt);
    if (at === 0) return undefined;
    const memory = this.view();
    const length = memory.readUInt32LE(this.lengthAt);
    if (length > SCRATCH_BYTES) this.onWork(length / LONG_BYTES_PER_INSTRUCTION);
    return Buffer.from(memory.subarray(at, at + length));
  }

  /** A string of the interpreter as text of one character a byte; empty when it is none. */
  textAt(state: number, index: number): string {
    return this.toBytes(state, index)?.toString('latin1') ?? '';
  }

  /** True when a value is a string or a number. */
  isText(state: number, index: number): boolean {
    const type = this.type(state, index);
    return type === LuaType.String || type === LuaType.Number;
  }

  /** Pushes a table with strings. */
  pushList(state: number, items: readonly Uint8Array[]): void {
    this.newTable(state, items.length);
    for (const [index, item] of items.entries()) {
      this.pushBytes(state, item);
      this.rawSetAt(state, -2, index + 1);
    }
  }

  pushNil(state: number): void {
    this.count();
    this.native.lua_pushnil!(state);
  }

  pushNumber(state: number, value: number): void {
    this.count();
    this.native.lua_pushnumber!(state, value);
  }

  pushBoolean(state: number, value: boolean): void {
    this.count();
    this.native.lua_pushboolean!(state, value ? 1 : 0);
  }

  /** @throws LuaMemoryError when the bytes do not fit beside what the interpreter holds */
  pushBytes(state: number, value: Uint8Array): void {
    this.count();
    const { length } = value;
    if (length > SCRATCH_BYTES) this.onWork(length / LONG_BYTES_PER_INSTRUCTION);
    const at = length <= SCRATCH_BYTES ? this.scratch : this.allocate(length);
    this.view().set(value, at);
    this.native.lua_pushlstring!(state, at, length);
    if (at !== this.scratch) this.native.free!(at);
  }

  /** Pushes text of one byte a character. */
  pushText(state: number, value: string): void {
    this.pushBytes(state, Buffer.from(value, 'latin1'));
  }

  /** @param upvalues how many values on the stack the function takes with it */
  pushFunction(state: number, number: number, upvalues = 0): void {
    this.native.lua_pushcclosure!(state, number, upvalues);
  }

  pushValue(state: number, index: number): void {
    this.native.lua_pushvalue!(state, index);
  }

  /** Moves the topmost value below the others from `index` on. */
  insert(state: number, index: number): void {
    this.native.lua_insert!(state, index);
  }

  remove(state: number, index: number): void {
    this.native.lua_remove!(state, index);
  }

  newTable(state: number, elements = 0, fields = 0): void {
    this.count();
    this.native.lua_createtable!(state, elements, fields);
  }

  getField(state: number, index: number, name: string): void {
    this.native.lua_getfield!(state, index, this.nameAt(name));
  }

  getGlobal(state: number, name: string): void {
    this.getField(state, GLOBALS_INDEX, name);
  }

  setField(state: number, index: number, name: string): void {
    this.native.lua_setfield!(state, index, this.nameAt(name));
  }

  /** Replaces the key on the top by its value; asks metatables. */
  getTable(state: number, index: number): void {
    this.native.lua_gettable!(state, index);
  }

  /** Sets the key below the top to the value on the top; asks metatables. */
  setTable(state: number, index: number): void {
    this.native.lua_settable!(state, index);
  }

  pushNullPointer(state: number): void {
    this.native.lua_pushlightuserdata!(state, 0);
  }

  rawGet(state: number, index: number): void {
    this.native.lua_rawget!(state, index);
  }

  rawSet(state: number, index: number): void {
    this.native.lua_rawset!(state, index);
  }

  /** Sets a field of a table to the topmost value, without asking metatables. */
  rawSetField(state: number, index: number, name: string): void {
    this.pushText(state, name);
    this.insert(state, -2);
    this.native.lua_rawset!(state, index - 1);
  }

  rawGetAt(state: number, index: number, position: number): void {
    this.count();
    this.native.lua_rawgeti!(state, index, position);
  }

  rawSetAt(state: number, index: number, position: number): void {
    this.native.lua_rawseti!(state, index, position);
  }

  /** Replaces the key on the top by the next key and its value. @returns false at the end, with nothing pushed */
  next(state: number, index: number): boolean {
    this.count();
    return this.native.lua_next!(state, index) !== 0;
  }

  /** The number by which Lua knows a table or function, for recognizing it again. */
  identity(state: number, index: number): number {
    return this.native.lua_topointer!(state, index);
  }

  setMetatable(state: number, index: number): void {
    this.native.lua_setmetatable!(state, index);
  }

  /** @returns false when there is none, with nothing pushed */
  getMetatable(state: number, index: number): boolean {
    return this.native.lua_getmetatable!(state, index) !== 0;
  }

  /** Replaces what is at an index by the topmost value, which it takes off. */
  replace(state: number, index: number): void {
    this.native.lua_replace!(state, index);
  }

  /** Calls what is below its arguments. @param handler index of the function that turns errors, 0 for none @returns a `LuaStatus` */
  protectedCall(state: number, args: number, results: number, handler: number): number {
    return this.native.lua_pcall!(state, args, results, handler);
  }

  /** Calls what is below its arguments; an error goes on to whoever protects the caller. */
  call(state: number, args: number, results: number): void {
    this.native.lua_call!(state, args, results);
  }

  /** Pushes what `tostring` makes of a value. */
  callGlobalToText(state: number, index: number): void {
    this.pushValue(state, index);
    this.pushReference(state, this.toText);
    this.insert(state, -2);
    this.native.lua_call!(state, 1, 1);
  }

  /** Compiles a chunk and pushes it as a function, or the message. @returns a `LuaStatus` */
  load(state: number, source: Uint8Array, name: string): number {
    // Scripts name chunks as they like, so the name is not kept; it stands behind the source.
    const bytes = Buffer.concat([source, Buffer.from(`${name}\0`, 'latin1')]);
    const at = this.allocate(bytes.length);
    this.view().set(bytes, at);
    const status = this.native.luaL_loadbuffer!(state, at, source.length, at + source.length);
    this.native.free!(at);
    return status;
  }

  /** Raises the topmost value as an error; does not return. */
  raise(state: number): never {
    this.native.lua_error!(state);
    throw new LuaPanicError('lua_error has returned');
  }

  /** Raises "bad argument #n to 'name'"; does not return. @param text what is wrong with it */
  argumentError(state: number, argument: number, text: string): never {
    this.native.luaL_argerror!(state, argument, this.nameAt(text));
    throw new LuaPanicError('luaL_argerror has returned');
  }

  /** Raises "bad argument #n to 'name' (x expected, got y)"; does not return. */
  typeError(state: number, argument: number, expected: string): never {
    this.native.luaL_typerror!(state, argument, this.nameAt(expected));
    throw new LuaPanicError('luaL_typerror has returned');
  }

  /** Raises a text that begins with the place of whoever called the running function; does not return. */
  raiseHere(state: number, text: string): never {
    this.native.luaL_where!(state, 1);
    this.pushText(state, text);
    this.native.lua_concat!(state, 2);
    return this.raise(state);
  }

  /** Raises a text as it is; does not return. */
  raiseText(state: number, text: string): never {
    this.pushText(state, text);
    return this.raise(state);
  }

  /** The number of an argument. @throws Lua's error of a bad argument when it is none */
  checkNumber(state: number, argument: number): number {
    return this.native.luaL_checknumber!(state, argument);
  }

  /** The bytes of an argument that is a string or a number. @throws Lua's error of a bad argument when it is neither */
  checkBytes(state: number, argument: number): Buffer {
    const bytes = this.toBytes(state, argument);
    return bytes ?? this.typeError(state, argument, 'string');
  }

  /** The same without a copy of the bytes: a number is turned into its text in place, as `toBytes` does. */
  requireText(state: number, argument: number): void {
    if (this.native.lua_tolstring!(state, argument, 0) === 0) this.typeError(state, argument, 'string');
  }

  /** True when an argument is nil or was not given. */
  isNone(state: number, argument: number): boolean {
    return this.type(state, argument) <= LuaType.Nil;
  }

  /** @throws Lua's error of a bad argument when there is none at all */
  requireAny(state: number, argument: number): void {
    this.native.luaL_checkany!(state, argument);
  }

  /** True when a value's metatable has a field. */
  hasMetafield(state: number, index: number, name: string): boolean {
    const has = this.native.luaL_getmetafield!(state, index, this.nameAt(name)) !== 0;
    if (has) this.pop(state, 1);
    return has;
  }

  /** Where the code on a level of the stack stands; 0 is what runs. @returns undefined above the stack's end */
  placeAt(state: number, level: number): LuaPlace | undefined {
    if (this.native.lua_getstack!(state, level, this.infoAt) === 0) return undefined;
    this.native.lua_getinfo!(state, this.nameAt('Sl'), this.infoAt);
    const memory = this.view();
    return {
      what: this.cText(memory.readUInt32LE(this.infoAt + INFO.what)),
      source: this.cText(memory.readUInt32LE(this.infoAt + INFO.source)),
      line: memory.readInt32LE(this.infoAt + INFO.currentLine),
    };
  }

  /** Keeps the topmost value, which it takes off, under a number in the registry. */
  reference(state: number): number {
    return this.native.luaL_ref!(state, REGISTRY_INDEX);
  }

  /** Pushes what `reference` has kept. */
  pushReference(state: number, reference: number): void {
    this.native.lua_rawgeti!(state, REGISTRY_INDEX, reference);
  }

  dropReference(state: number, reference: number): void {
    this.native.luaL_unref!(state, REGISTRY_INDEX, reference);
  }

  /** KiB that Lua's values take. */
  heldKib(): number {
    return this.native.lua_gc!(this.state, 3, 0);
  }

  /** A whole collection. */
  collect(): void {
    this.native.lua_gc!(this.state, 2, 0);
  }

  /** The length of a string, or the elements of a table that stand one after the other. */
  lengthOf(state: number, index: number): number {
    return this.native.lua_objlen!(state, index);
  }

  /** What the interpreter's table of functions has for the C function at an index; called from a C function, it takes that one's place. */
  nativeAt(state: number, index: number): HostFunction {
    return this.table.get(this.native.lua_tocfunction!(state, index)) as HostFunction;
  }

  /** A call that a loop of this side may make any number of times. */
  private count(): void {
    this.callsLeft -= 1;
    if (this.callsLeft > 0) return;
    this.callsLeft = CALLS_AT_ONCE;
    this.onWork(CALLS_AT_ONCE * CALL_INSTRUCTIONS);
  }

  private allocate(bytes: number): number {
    const at = this.native.malloc!(bytes);
    if (at === 0) throw new LuaMemoryError(`no memory for ${bytes} bytes in the Lua interpreter`);
    return at;
  }

  /** Names are few and are kept as C strings. */
  private nameAt(name: string): number {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    const bytes = Buffer.from(`${name}\0`, 'latin1');
    const at = this.allocate(bytes.length);
    this.view().set(bytes, at);
    this.names.set(name, at);
    return at;
  }

  private cText(at: number): string {
    const memory = this.view();
    return memory.toString('latin1', at, memory.indexOf(0, at));
  }

  /** The memory as it is now: growing it makes views of it useless. */
  private view(): Buffer {
    if (this.bytes.buffer !== this.memory.buffer) this.bytes = Buffer.from(this.memory.buffer);
    return this.bytes;
  }
}
