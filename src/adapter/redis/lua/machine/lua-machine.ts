/**
 * A Lua 5.1 in which scripts run one after the other, with the globals that Redis 7.0 gives them and nothing else: no files, no processes, no clock, no way to
 * leave something behind for the next script. A script ends by itself, with an error of its own, or because the machine ends it: too many
 * instructions, too much memory, or a call that the engine below refuses. What cannot be stopped within Lua is torn down with the machine.
 */
import { KvorumError, type Random } from '../../../../platform/index.ts';
import { ErrorReply, RedisError, type Reply } from '../../protocol/index.ts';
import {
  GLOBALS_INDEX,
  type Library,
  LuaApi,
  LuaMemoryError,
  LuaPanicError,
  LuaStatus,
  LuaType,
  pushLibrary,
} from '../engine/index.ts';
import {
  bitLibrary,
  cjsonLibrary,
  DEFAULT_JSON_SETTINGS,
  type JsonSettings,
  messagePackLibrary,
  structLibrary,
} from '../libraries/index.ts';
import { Protection } from './protection.ts';
import { RandomNumbers, randomLibrary } from './random-numbers.ts';
import { redisLibrary } from './redis-library.ts';
import type { ScriptHost } from './script-host.ts';
import { HOOK_EVERY, ScriptRun } from './script-run.ts';
import { takeReply } from './values.ts';

/** What a machine allows. */
export interface LuaLimits {
  /** Of one run. */
  readonly maxInstructions: number;
  /** Memory of the machine. */
  readonly maxBytes: number;
  /** Compiled scripts that are kept. */
  readonly maxScripts: number;
}

export const DEFAULT_LUA_LIMITS: LuaLimits = {
  maxInstructions: 60_000_000,
  maxBytes: 256 * 1024 * 1024,
  maxScripts: 10_000,
};

/** A script took more instructions than it may; nothing of what it has written stays. */
export class ScriptTooLongError extends KvorumError {
  readonly code = 'SCRIPT_TOO_LONG';
  readonly disposition = 'final';
}

/** A script to run. */
export interface Script {
  /** Hexadecimal SHA-1 of its text, by which its compiled form is kept. */
  readonly sha: string;
  readonly text: Buffer;
}

const SOURCE_NAME = '@user_script';
const ERROR_HANDLER = '__redis__err__handler';
/** What `_G` has besides the libraries. */
const BASE_NAMES = [
  ...[
    '_G',
    '_VERSION',
    'assert',
    'collectgarbage',
    'coroutine',
    'error',
    'gcinfo',
    'getmetatable',
    'ipairs',
    'load',
    'loadstring',
  ],
  ...[
    'math',
    'next',
    'pairs',
    'pcall',
    'rawequal',
    'rawget',
    'rawset',
    'select',
    'setmetatable',
    'string',
    'table',
    'tonumber',
  ],
  ...['tostring', 'type', 'unpack', 'xpcall'],
];
/** First byte of a compiled chunk, which nobody has checked: it could do anything. */
const BYTECODE_MARK = 0x1b;
/** Memory beyond which a machine collects after a script, KiB. */
const COLLECT_ABOVE_KIB = 8 * 1024;

export class LuaMachine {
  private readonly api: LuaApi;
  private readonly limits: LuaLimits;
  private readonly numbers = new RandomNumbers();
  private readonly json: JsonSettings = { ...DEFAULT_JSON_SETTINGS };
  /** References to compiled scripts by their SHA-1, those used last at the end. */
  private readonly compiled = new Map<string, number>();
  private readonly errorHandler: number;
  private readonly globals: number;
  private run: ScriptRun | undefined;
  private broken = false;

  constructor(limits: LuaLimits, random: Random) {
    this.limits = limits;
    this.api = new LuaApi(limits.maxBytes);
    this.numbers.shuffle(random);
    const { api } = this;
    const { state } = api;
    api.openLibraries();
    const [handler] = api.addFunctions([(running) => this.describeError(running)]);
    api.pushFunction(state, handler!);
    this.errorHandler = api.reference(state);
    this.globals = this.makeGlobals();
    const hook = api.addHook((running) => this.look(running));
    api.setCountHook(hook, HOOK_EVERY);
  }

  /** True when nothing can run here any more. */
  get isBroken(): boolean {
    return this.broken;
  }

  /** Forgets compiled scripts. */
  flush(): void {
    for (const reference of this.compiled.values()) this.api.dropReference(this.api.state, reference);
    this.compiled.clear();
  }

  /** @throws RedisError with the text of the compiler when it is no Lua */
  compile(script: Script): void {
    this.pushCompiled(script);
    this.api.pop(this.api.state, 1);
  }

  /**
   * Runs a script.
   * @returns its reply, an `ErrorReply` when it failed: what it has written before stays
   * @throws RedisError when it does not compile; ScriptTooLongError; what the host has thrown beyond RedisError. Nothing of it is to stay then
   */
  evaluate(script: Script, keys: readonly Buffer[], args: readonly Buffer[], host: ScriptHost): Reply {
    const { api } = this;
    const { state } = api;
    const run = new ScriptRun(host, this.limits.maxInstructions);
    this.run = run;
    Object.assign(this.json, DEFAULT_JSON_SETTINGS);
    try {
      api.setTop(state, 0);
      api.pushReference(state, this.errorHandler);
      this.pushCompiled(script);
      this.setGlobalList('KEYS', keys);
      this.setGlobalList('ARGV', args);
      const status = api.protectedCall(state, 0, 1, 1);
      if (run.abortCause !== undefined) throw run.abortCause.error;
      return status === LuaStatus.Ok ? takeReply(api, state, run.resp) : this.failure(status, script);
    } catch (error) {
      if (error instanceof LuaMemoryError || error instanceof LuaPanicError) return this.outOfMemory();
      // A script that does not compile, or a refusal that has come out in order, leaves the machine as it was.
      if (error !== run.abortCause?.error && !(error instanceof RedisError)) this.broken = true;
      throw error;
    } finally {
      this.run = undefined;
      this.tidy();
    }
  }

  private tidy(): void {
    if (this.broken) return;
    this.api.setTop(this.api.state, 0);
    if (this.api.heldKib() > COLLECT_ABOVE_KIB) this.api.collect();
  }

  /** The reply to a script that has ended with an error, which is on the top. */
  private failure(status: number, { sha }: Script): Reply {
    const { api } = this;
    const { state } = api;
    if (status === LuaStatus.MemoryError) return this.outOfMemory();
    if (api.type(state, -1) !== LuaType.Table) return new ErrorReply(`ERR ${api.textAt(state, -1)}`);
    const field = (name: string): string | undefined => {
      api.pushText(state, name);
      api.rawGet(state, -2);
      const text = api.toBytes(state, -1)?.toString('utf8');
      api.pop(state, 1);
      return text;
    };
    const text = (field('err') ?? 'ERR unknown error').replaceAll(/[\r\n]/g, ' ');
    const [source, line] = [field('source'), field('line')];
    const place = source === undefined || line === undefined ? '' : ` script: ${sha}, on ${source}:${line}.`;
    return new ErrorReply(text + place);
  }

  private outOfMemory(): Reply {
    // What was held is unreachable now, but the memory of a WebAssembly instance never shrinks.
    this.broken = true;
    return new ErrorReply('ERR not enough memory');
  }

  private look(state: number): void {
    const { run } = this;
    const verdict = run?.look(() => new ScriptTooLongError(tooLong(this.limits.maxInstructions))) ?? 'go on';
    if (verdict === 'raise') this.api.raiseText(state, run!.abortText!);
    if (verdict === 'tear down') {
      this.broken = true;
      throw run!.abortCause!.error;
    }
  }

  private get running(): ScriptRun {
    if (this.run === undefined) throw new TypeError('no script is running');
    return this.run;
  }

  private pushCompiled(script: Script): void {
    const { api, compiled } = this;
    const { state } = api;
    const known = compiled.get(script.sha);
    if (known !== undefined) {
      compiled.delete(script.sha);
      compiled.set(script.sha, known);
      api.pushReference(state, known);
      return;
    }
    if (api.load(state, script.text, SOURCE_NAME) !== LuaStatus.Ok) {
      const text = api.textAt(state, -1);
      api.pop(state, 1);
      throw new RedisError(`ERR Error compiling script (new function): ${text}`);
    }
    api.pushValue(state, -1);
    compiled.set(script.sha, api.reference(state));
    if (compiled.size > this.limits.maxScripts) {
      const [oldest, reference] = compiled.entries().next().value!;
      api.dropReference(state, reference);
      compiled.delete(oldest);
    }
  }

  private setGlobalList(name: string, items: readonly Buffer[]): void {
    const { api } = this;
    const { state } = api;
    api.pushReference(state, this.globals);
    api.newTable(state, items.length);
    for (const [index, item] of items.entries()) {
      api.pushBytes(state, item);
      api.rawSetAt(state, -2, index + 1);
    }
    api.setField(state, -2, name);
    api.pop(state, 1);
  }

  /** Turns what a script raises into a table with its text and the place that has raised it. */
  private describeError(state: number): number {
    const { api } = this;
    const thrower = api.placeAt(state, 1);
    const place = thrower?.what === 'C' ? api.placeAt(state, 2) : thrower;
    if (api.type(state, 1) !== LuaType.Table) {
      api.callGlobalToText(state, 1);
      const text = api.toBytes(state, -1) ?? Buffer.alloc(0);
      api.newTable(state, 0, 3);
      api.pushBytes(state, Buffer.concat([Buffer.from('ERR '), text]));
      api.setField(state, -2, 'err');
    } else {
      api.setTop(state, 1);
    }
    if (place !== undefined) {
      api.pushText(state, place.source);
      api.setField(state, -2, 'source');
      api.pushNumber(state, place.line);
      api.setField(state, -2, 'line');
    }
    return 1;
  }

  /** Builds the globals of scripts. @returns a reference to their real table */
  private makeGlobals(): number {
    const { api } = this;
    const { state } = api;
    const protection = new Protection(api);
    const base: Library = { ...protection.library(), ...this.callLibrary() };

    // A new table, so that nothing of what the interpreter brings is there by mistake.
    api.newTable(state);
    const globals = api.top(state);
    for (const name of BASE_NAMES) {
      api.getGlobal(state, name);
      api.setField(state, globals, name);
    }
    pushLibrary(api, state, base);
    this.moveEntries(base, globals);
    this.replaceIn(globals, 'math', randomLibrary(api, this.numbers));
    for (const name of ['string', 'table', 'math', 'coroutine']) {
      api.getField(state, globals, name);
      protection.protect();
      api.setField(state, globals, name);
    }
    for (const [name, library] of Object.entries({
      redis: redisLibrary(api, () => this.running),
      bit: bitLibrary(api),
      struct: structLibrary(api),
    })) {
      pushLibrary(api, state, library);
      protection.protect();
      api.setField(state, globals, name);
    }
    cjsonLibrary(api, state, this.json);
    protection.protect();
    api.setField(state, globals, 'cjson');
    messagePackLibrary(api, state);
    protection.protect();
    api.setField(state, globals, 'cmsgpack');
    this.protectStrings(protection, globals);
    api.pushReference(state, this.errorHandler);
    api.setField(state, globals, ERROR_HANDLER);
    return this.installGlobals(protection, globals);
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

  /** Methods of strings are those of the library that scripts see. */
  private protectStrings(protection: Protection, globals: number): void {
    const { api } = this;
    const { state } = api;
    api.pushText(state, '');
    api.getMetatable(state, -1);
    api.getField(state, globals, 'string');
    api.setField(state, -2, '__index');
    api.pushValue(state, -1);
    protection.protect();
    api.setField(state, -2, '__metatable');
    api.pop(state, 2);
  }

  /** Makes what stands for a table the globals of everything that is compiled from now on. @returns a reference to the real table */
  private installGlobals(protection: Protection, globals: number): number {
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
    api.setMetatable(state, globals);
    api.pushValue(state, globals);
    const reference = api.reference(state);
    protection.protect();
    api.pushValue(state, globals);
    api.pushReference(state, reference);
    api.insert(state, -2);
    api.rawSetField(state, -2, '_G');
    api.pop(state, 1);
    api.replace(state, GLOBALS_INDEX);
    return reference;
  }

  /** Functions of Lua that would let a script past its limits: compiling bytes that nobody has checked, and catching what must end it. */
  private callLibrary(): Library {
    const { api } = this;
    const raiseIfAborted = (state: number): void => {
      const text = this.run?.abortText;
      if (text !== undefined) api.raiseText(state, text);
    };
    return {
      loadstring: (state) => {
        const source = api.type(state, 1) === LuaType.String ? api.toBytes(state, 1)! : undefined;
        if (source === undefined) return api.typeError(state, 1, 'string');
        const name = api.type(state, 2) === LuaType.String ? api.textAt(state, 2) : undefined;
        return this.loadChunk(state, source, name ?? source.toString('latin1'));
      },
      load: (state) => {
        if (api.type(state, 1) !== LuaType.Function) return api.typeError(state, 1, 'function');
        const name = api.type(state, 2) === LuaType.String ? api.textAt(state, 2) : '=(load)';
        const pieces: Buffer[] = [];
        for (;;) {
          api.pushValue(state, 1);
          api.call(state, 0, 1);
          const piece = api.toBytes(state, -1);
          api.pop(state, 1);
          if (piece === undefined || piece.length === 0) break;
          pieces.push(piece);
          // A text that nobody may compile is not asked for to its end.
          if (pieces[0]![0] === BYTECODE_MARK) break;
        }
        return this.loadChunk(state, Buffer.concat(pieces), name);
      },
      pcall: (state) => {
        if (api.top(state) === 0) {
          api.pushBoolean(state, false);
          return 1;
        }
        const status = api.protectedCall(state, api.top(state) - 1, -1, 0);
        if (status === LuaStatus.Ok) {
          api.pushBoolean(state, true);
          api.insert(state, 1);
          return api.top(state);
        }
        raiseIfAborted(state);
        this.unwrapError(state);
        api.pushBoolean(state, false);
        api.insert(state, -2);
        return 2;
      },
      xpcall: (state) => {
        api.requireAny(state, 2);
        api.setTop(state, 2);
        api.insert(state, 1);
        const status = api.protectedCall(state, 0, -1, 1);
        if (status !== LuaStatus.Ok) raiseIfAborted(state);
        api.pushBoolean(state, status === LuaStatus.Ok);
        api.replace(state, 1);
        return api.top(state);
      },
    };
  }

  /** What a script catches of an error of `redis.call` is its text, as before errors were tables. */
  private unwrapError(state: number): void {
    const { api } = this;
    if (api.type(state, -1) !== LuaType.Table) return;
    api.getField(state, -1, 'err');
    if (api.type(state, -1) === LuaType.String) api.replace(state, -2);
    else api.pop(state, 1);
  }

  private loadChunk(state: number, source: Buffer, name: string): number {
    const { api } = this;
    const isBytecode = source[0] === BYTECODE_MARK;
    // The compiler says of a blank in its place what it would say of the mark.
    if (!isBytecode && api.load(state, source, name) === LuaStatus.Ok) return 1;
    if (isBytecode) {
      api.load(state, Buffer.concat([Buffer.from(' '), source]), name);
    }
    api.pushNil(state);
    api.insert(state, -2);
    return 2;
  }
}

const tooLong = (instructions: number): string =>
  `the script ran longer than ${instructions} instructions; nothing of it was done`;
