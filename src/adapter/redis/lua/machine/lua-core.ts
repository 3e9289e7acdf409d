/**
 * A Lua 5.1 in which pieces of code run one after the other, with the globals that Redis 7.0 gives them and nothing else: no files, no processes, no clock.
 * A run ends by itself, with an error of its own, or because the machine ends it: too many instructions, too much memory, or a call that the engine
 * below refuses. What cannot be stopped within Lua is torn down with the machine.
 */
import type { Clock, Random } from '../../../../platform/index.ts';
import { ErrorReply, RedisError, type Reply } from '../../protocol/index.ts';
import { type Library, LuaApi, LuaMemoryError, LuaPanicError, LuaStatus, LuaType } from '../engine/index.ts';
import { DEFAULT_JSON_SETTINGS, type JsonSettings } from '../libraries/index.ts';
import { basicFunctions, INSTRUCTIONS_A_SOURCE_BYTE } from './basic-functions.ts';
import { coroutineFunctions } from './coroutines.ts';
import { Globals } from './globals.ts';
import { nativeFunctions } from './native-functions.ts';
import { RandomNumbers } from './random-numbers.ts';
import { redisLibrary } from './redis-library.ts';
import type { ScriptHost } from './script-host.ts';
import { HOOK_EVERY, type RunLimits, ScriptRun } from './script-run.ts';
import type { Spend } from './spending.ts';
import { stringFunctions } from './string-functions.ts';
import { takeReply } from './values.ts';

/** What a machine allows. */
export interface LuaLimits extends RunLimits {
  /** Memory of the machine. */
  readonly maxBytes: number;
  /** Compiled scripts that are kept. */
  readonly maxScripts: number;
}

export const DEFAULT_LUA_LIMITS: LuaLimits = {
  maxInstructions: 60_000_000,
  maxMs: 150,
  maxBytes: 256 * 1024 * 1024,
  maxScripts: 10_000,
};

/** What is held after a run, KiB, beyond which a machine collects, and beyond which it is given up: collecting that takes too long. */
const COLLECT_ABOVE_KIB = 8 * 1024;
const GIVE_UP_ABOVE_KIB = 48 * 1024;
/** It collects again when it holds so many times what the last collection has left. */
const COLLECT_AT_GROWTH = 1.5;

/** What a function costs that is not Lua's own, in instructions, by the time that it takes. */
const HOST_CALL_INSTRUCTIONS = 200;

/** Where in the stack the function is that describes errors. */
const HANDLER_AT = 1;

/** What is run. */
export interface Runnable {
  /** What errors call it: the SHA-1 of a script, the name of a function. */
  readonly name: string;
  /** Pushes the function and its arguments. @returns how many arguments @throws RedisError when there is nothing to run */
  push(): number;
}

/** See the head of the file. */
export abstract class LuaCore {
  protected readonly api: LuaApi;
  protected readonly limits: LuaLimits;
  protected readonly globals: Globals;
  /** Reference to the function that describes errors. */
  protected readonly errorHandler: number;
  private readonly json: JsonSettings = { ...DEFAULT_JSON_SETTINGS };
  private current: ScriptRun | undefined;
  private broken = false;
  private readonly clock: Clock;
  private collectAboveKib = COLLECT_ABOVE_KIB;

  /** @param libraryOf makes the library `redis` of what runs, from the usual one */
  constructor(limits: LuaLimits, random: Random, clock: Clock, libraryOf: (usual: Library) => Library) {
    this.limits = limits;
    this.clock = clock;
    this.api = new LuaApi(limits.maxBytes);
    const numbers = new RandomNumbers();
    numbers.shuffle(random);
    const { api } = this;
    const { state } = api;
    api.openLibraries();
    const [handler] = api.addFunctions([(running) => this.describeError(running)]);
    api.pushFunction(state, handler!);
    this.errorHandler = api.reference(state);
    const spend: Spend = (running, instructions) => this.spend(running, instructions);
    this.globals = new Globals(api, {
      base: basicFunctions(api, () => this.current?.abortText, spend),
      redis: libraryOf(redisLibrary(api, () => this.running, spend)),
      coroutines: coroutineFunctions(api, spend),
      strings: stringFunctions(api, limits.maxBytes, spend),
      natives: nativeFunctions(api, () => this.current, spend),
      numbers,
      json: this.json,
    });
    api.onWork = (instructions) => this.work(instructions);
    api.onHostCall = (running) => this.spend(running, HOST_CALL_INSTRUCTIONS);
    const hook = api.addHook((running) => this.look(running));
    api.setCountHook(hook, HOOK_EVERY);
  }

  /** What Lua's values take. */
  get heldBytes(): number {
    return this.broken ? 0 : this.api.heldKib() * 1024;
  }

  /** True when nothing can run here any more. */
  get isBroken(): boolean {
    return this.broken;
  }

  /**
   * Runs something.
   * @returns its reply, an `ErrorReply` when it failed: what it has written before stays
   * @throws RedisError when it cannot be run; ScriptTooLongError; what the host has thrown beyond RedisError. Nothing of it is to stay then
   */
  protected run(what: Runnable, host: ScriptHost): Reply {
    const { api } = this;
    const { state } = api;
    return this.guarded(host, this.limits, (run) => {
      const status = api.protectedCall(state, what.push(), 1, HANDLER_AT);
      if (run.abortCause !== undefined) throw run.abortCause.error;
      return status === LuaStatus.Ok ? takeReply(api, state, run.resp) : this.failure(status, what.name);
    });
  }

  /** Does something in which Lua runs: on an empty stack but for the function that describes errors. */
  protected guarded<T>(host: ScriptHost, limits: RunLimits, work: (run: ScriptRun) => T): T | ErrorReply {
    const { api } = this;
    const { state } = api;
    const run = new ScriptRun(host, limits, this.clock);
    this.current = run;
    Object.assign(this.json, DEFAULT_JSON_SETTINGS);
    try {
      api.setTop(state, 0);
      api.pushReference(state, this.errorHandler);
      return work(run);
    } catch (error) {
      if (error instanceof LuaMemoryError || error instanceof LuaPanicError) return this.outOfMemory();
      // What does not compile, or a refusal that has come out in order, leaves the machine as it was.
      if (error !== run.abortCause?.error && !(error instanceof RedisError)) this.broken = true;
      throw error;
    } finally {
      this.current = undefined;
      this.tidy();
    }
  }

  /** Compiles code and pushes it as a function, or the message. @returns a `LuaStatus` @throws RedisError when it is too long */
  protected compileCode(code: Buffer, name: string): number {
    const most = Math.floor(this.limits.maxInstructions / INSTRUCTIONS_A_SOURCE_BYTE);
    if (code.length > most) throw new RedisError(`ERR code of ${code.length} bytes is longer than ${most}`);
    return this.api.load(this.api.state, code, name);
  }

  /** The reply when memory has run out: the machine is used up. */
  protected outOfMemory(): ErrorReply {
    // What was held is unreachable now, but the memory of a WebAssembly instance never shrinks.
    this.broken = true;
    return new ErrorReply('ERR not enough memory');
  }

  /** What is wrong with what has failed, whose error is on the top: its text, and where it was raised if that is known. */
  protected describedFailure(): { readonly text: string; readonly place: string | undefined } {
    const { api } = this;
    const { state } = api;
    if (api.type(state, -1) !== LuaType.Table) return { text: `ERR ${api.textAt(state, -1)}`, place: undefined };
    const field = (name: string): string | undefined => {
      api.pushText(state, name);
      api.rawGet(state, -2);
      const text = api.toBytes(state, -1)?.toString('utf8');
      api.pop(state, 1);
      return text;
    };
    const text = (field('err') ?? 'ERR unknown error').replaceAll(/[\r\n]/g, ' ');
    const [source, line] = [field('source'), field('line')];
    return { text, place: source === undefined || line === undefined ? undefined : `${source}:${line}` };
  }

  private tidy(): void {
    if (this.broken) return;
    const { api } = this;
    api.setTop(api.state, 0);
    const heldKib = api.heldKib();
    if (heldKib <= this.collectAboveKib) return;
    if (heldKib > GIVE_UP_ABOVE_KIB) {
      this.broken = true;
      return;
    }
    api.collect();
    this.collectAboveKib = Math.max(COLLECT_ABOVE_KIB, api.heldKib() * COLLECT_AT_GROWTH);
  }

  /** The reply to what has ended with an error, which is on the top. */
  private failure(status: number, name: string): Reply {
    if (status === LuaStatus.MemoryError) return this.outOfMemory();
    const { text, place } = this.describedFailure();
    return new ErrorReply(place === undefined ? text : `${text} script: ${name}, on ${place}.`);
  }

  /** Ends what runs when it has done more than it may. */
  private spend(state: number, instructions: number): void {
    const run = this.current;
    if (run?.spend(instructions) === true) this.api.raiseText(state, run.abortText!);
  }

  /** Counts work within an instruction, where nothing can be raised. */
  private work(instructions: number): void {
    const run = this.current;
    if (run?.work(instructions) === true) this.tearDown(run);
  }

  private tearDown(run: ScriptRun): never {
    this.broken = true;
    throw run.abortCause!.error;
  }

  private look(state: number): void {
    const run = this.current;
    const verdict = run?.look() ?? 'go on';
    if (verdict === 'raise') this.api.raiseText(state, run!.abortText!);
    if (verdict === 'tear down') this.tearDown(run!);
  }

  /** What runs now. */
  private get running(): ScriptRun {
    if (this.current === undefined) throw new TypeError('no script is running');
    return this.current;
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
}
