/**
 * Libraries of functions: which the cluster has is one row, read and written like any key by the commands that are evaluated; what of them runs here is
 * kept on a Lua machine of their own, library by library as it is called.
 */

import { NEVER } from '../../../platform/index.ts';
import { readString } from '../bodies/index.ts';
import {
  type CommandContext,
  type FunctionCall,
  LendingState,
  LibrariesLentError,
  LibrariesUnknownError,
  type LibraryRunner,
  type ListedLibrary,
  RunAloneError,
  type ScriptFigures,
} from '../command/index.ts';
import { COPIES_KEY, FUNCTION_DB, LIBRARIES_KEY } from '../keys/index.ts';
import { type FunctionDeclaration, FunctionMachine, type LoadedFunction, type ScriptHost } from '../lua/index.ts';
import { RedisError, type Reply } from '../protocol/index.ts';
import { isPayload, RdbFormatError, readFunctions, writeFunctions } from '../rdb/index.ts';
import { deleteKey, writeString } from '../values/index.ts';
import { readLibraryCode } from './library-code.ts';
import { LibrarySet, type StoredLibrary } from './library-set.ts';
import { ScriptCommands } from './script-commands.ts';
import type { ScriptRuntimeOptions } from './script-runtime-options.ts';

/** Least of instructions for a library where many are restored at once. */
const LEAST_INSTRUCTIONS = 1_000_000;
/** Of all compressed libraries of a payload together. */
const MAX_RESTORED_BYTES = 16 * 1024 * 1024;

const NOTHING = Buffer.alloc(0);

/** A library as it runs here. */
interface RunningLibrary {
  readonly code: Buffer;
  readonly functions: ReadonlyMap<string, LoadedFunction>;
}

export class LibraryRuntime implements LibraryRunner<CommandContext> {
  private readonly options: ScriptRuntimeOptions;
  private machine: FunctionMachine | undefined;
  /** What the machine has by the names of libraries. */
  private readonly running = new Map<string, RunningLibrary>();
  /** The row that was read last, taken apart. */
  private known: { readonly row: Buffer; readonly set: LibrarySet } = { row: NOTHING, set: LibrarySet.EMPTY };

  constructor(options: ScriptRuntimeOptions) {
    this.options = options;
  }

  /** What is known here of the libraries. */
  figures(): Pick<ScriptFigures, 'libraries' | 'functions' | 'libraryBytes' | 'libraryMachineBytes'> {
    const copy = this.options.copies?.()?.row();
    const { libraries } = copy === undefined ? this.known.set : this.setOf(copy);
    return {
      libraries: libraries.length,
      functions: libraries.reduce((sum, { functions }) => sum + functions.length, 0),
      libraryBytes: libraries.reduce((sum, { code }) => sum + code.length, 0),
      libraryMachineBytes: this.machine?.heldBytes ?? 0,
    };
  }

  load(ctx: CommandContext, code: Buffer, mayReplace: boolean): string {
    const { name } = readLibraryCode(code);
    const before = this.read(ctx);
    if (!mayReplace && before.library(name) !== undefined) throw new RedisError(`ERR Library '${name}' already exists`);
    const library = this.made(ctx, code, this.options.limits.maxInstructions);
    this.write(ctx, before.without(name).with([library]));
    return name;
  }

  delete(ctx: CommandContext, name: string): void {
    const before = this.read(ctx);
    if (before.library(name) === undefined) throw new RedisError('ERR Library not found');
    this.write(ctx, before.without(name));
  }

  flush(ctx: CommandContext): void {
    this.write(ctx, LibrarySet.EMPTY);
  }

  list(ctx: CommandContext): readonly ListedLibrary[] {
    return this.read(ctx).libraries;
  }

  dump(ctx: CommandContext): Buffer {
    return writeFunctions(this.read(ctx).libraries.map(({ code }) => code));
  }

  restore(ctx: CommandContext, payload: Buffer, policy: 'flush' | 'append' | 'replace'): void {
    if (!isPayload(payload)) throw new RedisError('ERR DUMP payload version or checksum are wrong');
    const codes = codesIn(payload);
    const budget = Math.max(LEAST_INSTRUCTIONS, Math.floor(this.options.limits.maxInstructions / codes.length));
    let restored = LibrarySet.EMPTY;
    for (const code of codes) {
      const { name } = readLibraryCode(code);
      if (restored.library(name) !== undefined) throw new RedisError(`ERR Library '${name}' already exists`);
      restored = restored.with([this.made(ctx, code, budget)]);
    }
    let kept = policy === 'flush' ? LibrarySet.EMPTY : this.read(ctx);
    for (const { name } of restored.libraries) {
      if (kept.library(name) === undefined) continue;
      if (policy === 'append') throw new RedisError(`ERR Library ${name} already exists`);
      kept = kept.without(name);
    }
    this.write(ctx, kept.with(restored.libraries));
  }

  call(ctx: CommandContext, name: Buffer, callOf: () => FunctionCall, isReadOnly: boolean): Reply {
    const found = this.forCall(ctx).function(name.toString('latin1'));
    if (found === undefined) throw new RedisError('ERR Function not found');
    const { keys, args } = callOf();
    const writesNothing = found.declaration.flags.includes('no-writes');
    if (isReadOnly && !writesNothing) {
      throw new RedisError('ERR Can not execute a script with write flag using *_ro command.');
    }
    const host = new ScriptCommands(ctx, this.options.table, writesNothing);
    const called = this.runningFunction(found.library, found.declaration, host);
    return this.usable().call(called, keys, args, host);
  }

  /** The function of a library as it runs here; its library is loaded when it does not yet. */
  private runningFunction(library: StoredLibrary, { name }: FunctionDeclaration, host: ScriptHost): LoadedFunction {
    const machine = this.usable();
    let running = this.running.get(library.name);
    if (running === undefined || !running.code.equals(library.code)) {
      const { body } = readLibraryCode(library.code);
      const functions = machine.load(body, host, this.options.limits.maxInstructions);
      running = this.keep(library.name, { code: library.code, functions });
    }
    const found = running.functions.get(name);
    if (found === undefined) throw new RedisError(`ERR library '${library.name}' does not register '${name}' any more`);
    return found;
  }

  private keep(name: string, running: RunningLibrary): RunningLibrary {
    for (const one of this.running.get(name)?.functions.values() ?? []) this.machine?.forget(one);
    this.running.set(name, running);
    return running;
  }

  /** A library that can be stored: its code has run here. @throws RedisError when it is none */
  private made(ctx: CommandContext, code: Buffer, maxInstructions: number): StoredLibrary {
    const { name, body } = readLibraryCode(code);
    const host = new ScriptCommands(ctx, this.options.table, false);
    const functions = this.usable().load(body, host, maxInstructions);
    if (functions.size === 0) throw new RedisError('ERR No functions registered');
    const own = Buffer.from(code);
    this.keep(name, { code: own, functions });
    const declarations = [...functions.values()].map(({ name: called, description, flags }) => ({
      name: called,
      description,
      flags,
    }));
    return { name, code: own, functions: declarations };
  }

  /** The libraries for a call: where another group has them, this node's copy. @throws RunAloneError, LibrariesUnknownError where there is none */
  private forCall(ctx: CommandContext): LibrarySet {
    const row = this.rowAt(ctx, LIBRARIES_KEY);
    if (row !== undefined) return this.setOf(row);
    const copies = this.options.copies?.();
    const copy = copies?.row();
    if (copy !== undefined) return this.setOf(copy);
    throw copies?.ask() === 'coming' ? new LibrariesUnknownError() : new RunAloneError();
  }

  /** The libraries that the cluster has. @throws RunAloneError where another group has the row */
  private read(ctx: CommandContext): LibrarySet {
    const row = this.rowAt(ctx, LIBRARIES_KEY);
    if (row === undefined) throw new RunAloneError();
    return this.setOf(row);
  }

  /** A row of the libraries' database, empty when it is not there; undefined where another group has it. */
  private rowAt(ctx: CommandContext, key: Buffer): Buffer | undefined {
    const access = ctx.nested(FUNCTION_DB, ctx.resp);
    if (access.view.isElsewhere?.(access.storageKey(key)) === true) return undefined;
    return readString(access, key)?.payload ?? NOTHING;
  }

  private setOf(row: Buffer): LibrarySet {
    if (!row.equals(this.known.row)) {
      const set = row.length === 0 ? LibrarySet.EMPTY : LibrarySet.decode(row);
      this.known = { row: Buffer.from(row), set };
      this.dropOthers(set);
    }
    return this.known.set;
  }

  /** @throws LibrariesLentError while nodes may have copies */
  private write(ctx: CommandContext, set: LibrarySet): void {
    const state = this.rowAt(ctx, COPIES_KEY)?.toString();
    if (state === undefined) throw new RunAloneError();
    if (state !== '' && !state.startsWith(LendingState.Recalled)) throw new LibrariesLentError();
    const access = ctx.nested(FUNCTION_DB, ctx.resp);
    if (state !== '') deleteKey(access, COPIES_KEY);
    writeString(access, LIBRARIES_KEY, set.encode(), NEVER);
  }

  /** Drops what runs here of libraries that are gone. */
  private dropOthers(set: LibrarySet): void {
    for (const [name, { functions }] of this.running) {
      if (set.library(name) !== undefined) continue;
      for (const one of functions.values()) this.machine?.forget(one);
      this.running.delete(name);
    }
  }

  /** The machine; it is made when the first library comes. */
  private usable(): FunctionMachine {
    if (this.machine === undefined || this.machine.isBroken) {
      const { limits, random, clock } = this.options;
      this.machine = new FunctionMachine(limits, random, clock);
      this.running.clear();
    }
    return this.machine;
  }
}

/** @throws RedisError with Redis' text */
function codesIn(payload: Buffer): readonly Buffer[] {
  try {
    return readFunctions(payload, MAX_RESTORED_BYTES);
  } catch (error) {
    if (!(error instanceof RdbFormatError)) throw error;
    throw new RedisError(`ERR ${error.message}`, { cause: error });
  }
}
