/**
 * Runs functions of libraries. The code of a library runs once, with nothing but `redis.register_function` and the log; the functions that it registers
 * run when they are called, with all that scripts have but `KEYS` and `ARGV`. What a library keeps in its local variables stays as long as the machine.
 */
import type { Clock, Random } from '../../../../platform/index.ts';
import { ErrorReply, RedisError, type Reply } from '../../protocol/index.ts';
import { type Library, type LuaApi, LuaStatus, LuaType } from '../engine/index.ts';
import { LuaCore, type LuaLimits } from './lua-core.ts';
import type { ScriptHost } from './script-host.ts';
import { type ScriptRun, ScriptTooLongError } from './script-run.ts';
import { pushError } from './values.ts';

const SOURCE_NAME = '@user_function';
/** What only scripts have of `redis`. */
const ONLY_IN_SCRIPTS = ['replicate_commands', 'breakpoint', 'debug'];
/** What there is of `redis` while a library is loaded, beside `register_function`. */
const WHILE_LOADING = ['log', 'LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING'];
const VERSIONS = ['REDIS_VERSION', 'REDIS_VERSION_NUM'];

/** Flags of functions, in the order in which they are told. */
export const FUNCTION_FLAGS = ['no-writes', 'allow-oom', 'allow-stale', 'no-cluster', 'allow-cross-slot-keys'] as const;
export type FunctionFlag = (typeof FUNCTION_FLAGS)[number];

/** What a library says of a function. */
export interface FunctionDeclaration {
  readonly name: string;
  readonly description: string | undefined;
  readonly flags: readonly FunctionFlag[];
}

/** A function that was registered on a machine. */
export interface LoadedFunction extends FunctionDeclaration {
  /** By which this machine knows it. */
  readonly reference: number;
}

/** Functions have names of letters, digits and underscores, as libraries do. */
export const isFunctionName = (name: string): boolean => /^[a-zA-Z0-9_]+$/.test(name);

export const NAME_RULE =
  'ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long';

const REGISTER = 'redis.register_function';

/** Entries of a library by name. */
const only = (library: Library, names: readonly string[]): Library =>
  Object.fromEntries(names.map((name) => [name, library[name]!]));

const without = (library: Library, names: readonly string[]): Library =>
  Object.fromEntries(Object.entries(library).filter(([name]) => !names.includes(name)));

export class FunctionMachine extends LuaCore {
  /** Reference to the globals of a library that is being loaded. */
  private readonly loadingGlobals: number;
  /** What the library that is being loaded has registered; undefined when none is. */
  private registered: Map<string, LoadedFunction> | undefined;

  constructor(limits: LuaLimits, random: Random, clock: Clock) {
    let whole: Library = {};
    super(limits, random, clock, (usual) => {
      whole = usual;
      return without(usual, ONLY_IN_SCRIPTS);
    });
    this.loadingGlobals = this.globals.only({
      ...only(whole, [...WHILE_LOADING, ...VERSIONS]),
      register_function: (state) => this.register(state),
    });
  }

  /**
   * Runs the code of a library.
   * @param host for its log @param maxInstructions that it may take
   * @returns its functions by name @throws RedisError when it is no library
   */
  load(code: Buffer, host: ScriptHost, maxInstructions: number): ReadonlyMap<string, LoadedFunction> {
    const registered = new Map<string, LoadedFunction>();
    this.registered = registered;
    this.globals.show(this.loadingGlobals);
    try {
      const failed = this.guarded(host, { ...this.limits, maxInstructions }, (run) => this.runOnce(code, run));
      if (failed instanceof ErrorReply) throw new RedisError(failed.text);
    } catch (error) {
      for (const one of registered.values()) this.forget(one);
      if (!(error instanceof ScriptTooLongError)) throw error;
      throw new RedisError('ERR Error registering functions: ERR FUNCTION LOAD timeout');
    } finally {
      this.registered = undefined;
      if (!this.isBroken) this.globals.show(this.globals.real);
    }
    return registered;
  }

  /** Calls a function. @returns and throws as `run` of `LuaCore` */
  call(called: LoadedFunction, keys: readonly Buffer[], args: readonly Buffer[], host: ScriptHost): Reply {
    const { api } = this;
    const push = (): number => {
      api.pushReference(api.state, called.reference);
      api.pushList(api.state, keys);
      api.pushList(api.state, args);
      return 2;
    };
    return this.run({ name: called.name, push }, host);
  }

  /** Drops a function that nobody calls any more. */
  forget({ reference }: LoadedFunction): void {
    if (!this.isBroken) this.api.dropReference(this.api.state, reference);
  }

  private runOnce(code: Buffer, run: ScriptRun): void {
    const { api } = this;
    const { state } = api;
    if (this.compileCode(code, SOURCE_NAME) !== LuaStatus.Ok) {
      throw new RedisError(`ERR Error compiling function: ${api.textAt(state, -1)}`);
    }
    const status = api.protectedCall(state, 0, 0, 0);
    if (run.abortCause !== undefined) throw run.abortCause.error;
    if (status === LuaStatus.Ok) return;
    if (status === LuaStatus.MemoryError) throw new RedisError(this.outOfMemory().text);
    throw new RedisError(`ERR Error registering functions: ${this.describedFailure().text}`);
  }

  private register(state: number): number {
    const { api, registered } = this;
    const fail = (text: string): never => {
      pushError(api, state, text);
      return api.raise(state);
    };
    if (registered === undefined) return fail(`ERR ${REGISTER} can only be called on FUNCTION LOAD command`);
    const count = api.top(state);
    if (count < 1 || count > 2) return fail(`ERR wrong number of arguments to ${REGISTER}`);
    const one = count === 1 ? namedArguments(api, state, fail) : orderedArguments(api, state, fail);
    if (!isFunctionName(one.name)) return fail(NAME_RULE);
    if (registered.has(one.name)) return fail('ERR Function already exists in the library');
    // The function is on the top.
    registered.set(one.name, { ...one, reference: api.reference(state) });
    return 0;
  }
}

/** `register_function(name, callback)`; leaves the callback on the top. */
function orderedArguments(api: LuaApi, state: number, fail: (text: string) => never): FunctionDeclaration {
  const name = textOf(api, state, 1);
  if (name === undefined) return fail(`ERR first argument to ${REGISTER} must be a string`);
  if (api.type(state, 2) !== LuaType.Function) return fail(`ERR second argument to ${REGISTER} must be a function`);
  return { name, description: undefined, flags: [] };
}

/** `register_function{function_name=..., callback=...}`; leaves the callback on the top. */
function namedArguments(api: LuaApi, state: number, fail: (text: string) => never): FunctionDeclaration {
  if (api.type(state, 1) !== LuaType.Table) {
    return fail(
      `ERR calling ${REGISTER} with a single argument is only applicable to Lua table (representing named arguments).`,
    );
  }
  let name: string | undefined;
  let description: string | undefined;
  let flags: readonly FunctionFlag[] = [];
  let hasCallback = false;
  api.pushNil(state);
  while (api.next(state, 1)) {
    // A copy of the key: reading a number as text must not change what the walk goes on from.
    api.pushValue(state, -2);
    const key = textOf(api, state, -1);
    api.pop(state, 1);
    if (key === undefined) return fail(`ERR named argument key given to ${REGISTER} is not a string`);
    switch (key.toLowerCase()) {
      case 'function_name':
        name = textOf(api, state, -1);
        if (name === undefined) return fail(`ERR function_name argument given to ${REGISTER} must be a string`);
        break;
      case 'description':
        description = textOf(api, state, -1);
        if (description === undefined) return fail(`ERR description argument given to ${REGISTER} must be a string`);
        break;
      case 'callback':
        if (api.type(state, -1) !== LuaType.Function) {
          return fail(`ERR callback argument given to ${REGISTER} must be a function`);
        }
        hasCallback = true;
        // Out of the way of the walk, below the table.
        api.pushValue(state, -1);
        api.insert(state, 2);
        break;
      case 'flags':
        if (api.type(state, -1) !== LuaType.Table) {
          return fail(`ERR flags argument to ${REGISTER} must be a table representing function flags`);
        }
        flags = flagsAt(api, state, fail);
        break;
      default:
        return fail(`ERR unknown argument given to ${REGISTER}`);
    }
    api.pop(state, 1);
  }
  if (name === undefined) return fail(`ERR ${REGISTER} must get a function name argument`);
  if (!hasCallback) return fail(`ERR ${REGISTER} must get a callback argument`);
  return { name, description, flags };
}

/** The flags in the table on the top. */
function flagsAt(api: LuaApi, state: number, fail: (text: string) => never): readonly FunctionFlag[] {
  const found = new Set<string>();
  for (let position = 1; ; position++) {
    api.rawGetAt(state, -1, position);
    const type = api.type(state, -1);
    const flag = type === LuaType.String ? api.textAt(state, -1) : undefined;
    api.pop(state, 1);
    if (type === LuaType.Nil) break;
    if (!(FUNCTION_FLAGS as readonly (string | undefined)[]).includes(flag)) return fail('ERR unknown flag given');
    found.add(flag!);
  }
  return FUNCTION_FLAGS.filter((flag) => found.has(flag));
}

/** A string's text, or a number's; undefined for everything else. */
function textOf(api: LuaApi, state: number, index: number): string | undefined {
  return api.isText(state, index) ? api.toBytes(state, index)!.toString('utf8') : undefined;
}
