/** The globals of scripts: those that Redis 7.0 gives them, in tables that cannot be written to. */
import { GLOBALS_INDEX, type HostFunction, type Library, type LuaApi, pushLibrary } from '../engine/index.ts';
import { bitLibrary, cjsonLibrary, type JsonSettings, messagePackLibrary, structLibrary } from '../libraries/index.ts';
import type { NativeFunctions } from './native-functions.ts';
import { Protection } from './protection.ts';
import { type RandomNumbers, randomLibrary } from './random-numbers.ts';

/** What `_G` has besides the libraries. */
const BASE_NAMES = [
  ...['_G', '_VERSION', 'assert', 'collectgarbage', 'coroutine', 'error', 'gcinfo', 'getmetatable', 'ipairs', 'load'],
  ...['loadstring', 'math', 'next', 'pairs', 'pcall', 'rawequal', 'rawget', 'rawset', 'select', 'setmetatable'],
  ...['string', 'table', 'tonumber', 'tostring', 'type', 'unpack', 'xpcall'],
];

/** What differs from machine to machine. */
export interface GlobalsParts {
  /** Functions that take the place of Lua's. */
  readonly base: Library;
  readonly redis: Library;
  /** Functions that take the place of those of `string`. */
  readonly strings: Library;
  /** Functions of Lua that count. */
  readonly natives: NativeFunctions;
  /** Functions that take the place of those of `coroutine`. */
  readonly coroutines: Library;
  readonly numbers: RandomNumbers;
  readonly json: JsonSettings;
}

/** Builds the globals of one interpreter, and makes them those of everything that is compiled from then on. */
export class Globals {
  private readonly api: LuaApi;
  private readonly protection: Protection;
  /** Reference to the real table of them. */
  readonly real: number;
  /** Reference to what scripts see of it. */
  private readonly shown: number;

  /** The interpreter's libraries must be open. */
  constructor(api: LuaApi, { base, redis, strings, natives, coroutines, numbers, json }: GlobalsParts) {
    this.api = api;
    this.protection = new Protection(api);
    const { state } = api;
    const { protection } = this;

    // A new table, so that nothing of what the interpreter brings is there by mistake.
    api.newTable(state);
    const globals = api.top(state);
    for (const name of BASE_NAMES) {
      api.getGlobal(state, name);
      api.setField(state, globals, name);
    }
    const replaced: Library = { ...protection.library(), ...base };
    pushLibrary(api, state, replaced);
    this.moveEntries(replaced, globals);
    for (const [library, functions] of Object.entries(natives)) this.placeNative(globals, library, functions);
    this.replaceIn(globals, 'math', randomLibrary(api, numbers));
    this.replaceIn(globals, 'string', strings);
    this.replaceIn(globals, 'coroutine', coroutines);
    for (const name of ['string', 'table', 'math', 'coroutine']) {
      api.getField(state, globals, name);
      protection.protect();
      api.setField(state, globals, name);
    }
    for (const [name, library] of Object.entries({ redis, bit: bitLibrary(api), struct: structLibrary(api) })) {
      pushLibrary(api, state, library);
      protection.protect();
      api.setField(state, globals, name);
    }
    cjsonLibrary(api, state, json);
    protection.protect();
    api.setField(state, globals, 'cjson');
    messagePackLibrary(api, state);
    protection.protect();
    api.setField(state, globals, 'cmsgpack');
    this.protectStrings(globals);
    [this.real, this.shown] = this.install(globals);
  }

  /** Sets a global to the topmost value, which it takes off. */
  set(name: string): void {
    const { api } = this;
    const { state } = api;
    api.pushReference(state, this.real);
    api.insert(state, -2);
    api.setField(state, -2, name);
    api.pop(state, 1);
  }

  /** Makes a table whose only entry is the library `redis`, for `show`. @returns a reference to it */
  only(redis: Library): number {
    const { api } = this;
    const { state } = api;
    api.newTable(state, 0, 1);
    pushLibrary(api, state, redis);
    this.refuseMissing(api.top(state));
    this.protection.protect();
    api.setField(state, -2, 'redis');
    this.refuseMissing(api.top(state));
    return api.reference(state);
  }

  /** Scripts see another table as their globals from now on. @param real a reference to it */
  show(real: number): void {
    const { api } = this;
    const { state } = api;
    api.pushReference(state, this.shown);
    api.getMetatable(state, -1);
    api.pushReference(state, real);
    api.setField(state, -2, '__index');
    api.pop(state, 2);
  }

  /** Moves the entries of the table on the top to another, and takes it off. */
  private moveEntries(library: Library, target: number): void {
    const { api } = this;
    for (const name of Object.keys(library)) {
      api.getField(api.state, -1, name);
      api.setField(api.state, target, name);
    }
    api.pop(api.state, 1);
  }

  private replaceIn(globals: number, name: string, library: Library): void {
    const { api } = this;
    const { state } = api;
    api.getField(state, globals, name);
    const target = api.top(state);
    pushLibrary(api, state, library);
    this.moveEntries(library, target);
    api.pop(state, 1);
  }

  /** Puts functions in the place of those of a library, or of globals. */
  private placeNative(globals: number, library: string, functions: Readonly<Record<string, HostFunction>>): void {
    const { api } = this;
    const { state } = api;
    if (library === '_G') api.pushValue(state, globals);
    else api.getField(state, globals, library);
    const numbers = api.addFunctions(Object.values(functions));
    for (const name of Object.keys(functions)) {
      api.pushFunction(state, numbers.shift()!);
      api.setField(state, -2, name);
    }
    api.pop(state, 1);
  }

  /** Methods of strings are those of the library that scripts see. */
  private protectStrings(globals: number): void {
    const { api } = this;
    const { state } = api;
    api.pushText(state, '');
    api.getMetatable(state, -1);
    api.getField(state, globals, 'string');
    api.setField(state, -2, '__index');
    api.pushValue(state, -1);
    this.protection.protect();
    api.setField(state, -2, '__metatable');
    api.pop(state, 2);
  }

  /** Reading what a table does not have is an error from now on. */
  private refuseMissing(table: number): void {
    const { api } = this;
    const { state } = api;
    const [missing] = api.addFunctions([
      (running) => {
        const name = api.textAt(running, 2);
        return api.raiseHere(running, `Script attempted to access nonexistent global variable '${name}'`);
      },
    ]);
    api.newTable(state, 0, 1);
    api.pushFunction(state, missing!);
    api.setField(state, -2, '__index');
    api.setMetatable(state, table);
  }

  /** Makes what stands for a table the globals of everything that is compiled from now on. @returns references to the real table and to that */
  private install(globals: number): [real: number, shown: number] {
    const { api } = this;
    const { state } = api;
    this.refuseMissing(globals);
    api.pushValue(state, globals);
    const real = api.reference(state);
    this.protection.protect();
    api.pushValue(state, globals);
    const shown = api.reference(state);
    api.pushValue(state, globals);
    api.pushReference(state, real);
    api.insert(state, -2);
    api.rawSetField(state, -2, '_G');
    api.pop(state, 1);
    api.replace(state, GLOBALS_INDEX);
    return [real, shown];
  }
}
