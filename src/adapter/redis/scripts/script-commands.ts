/** The commands that a running script calls. */
import type { CommandContext, CommandTable, ResolvedCommand } from '../command/index.ts';
import { arityAccepts } from '../command/index.ts';
import { DATABASE_COUNT } from '../keys/index.ts';
import type { ScriptHost, ScriptLogLevel } from '../lua/index.ts';
import { errors, OK, PONG, RedisError, type Reply, requireInt32 } from '../protocol/index.ts';
import { callOutside } from './outside-commands.ts';

const UNKNOWN = 'ERR Unknown Redis command called from script';
const READ_ONLY = 'ERR Write commands are not allowed from read-only scripts.';
const MICROS_PER_MS = 1_000;
/** Of one run of a script no more of its calls is shown to those who watch. */
const MAX_SHOWN_BYTES = 1024 * 1024;
/** About what a call takes beside its arguments. */
const CALL_BYTES = 64;

/** Commands that a script needs no connection for although clients do. */
const ANSWERED_HERE: Readonly<Record<string, (calls: ScriptCommands, args: readonly Buffer[]) => Reply>> = {
  ping: (_, args) => args[1] ?? PONG,
  echo: (_, args) => args[1]!,
  time: (calls) => calls.time(),
  select: (calls, args) => calls.select(args[1]!),
  publish: (calls, args) => calls.publish(args[1]!, args[2]!, false),
  spublish: (calls, args) => calls.publish(args[1]!, args[2]!, true),
};

export class ScriptCommands implements ScriptHost {
  private ctx: CommandContext;
  private readonly table: CommandTable;
  private readonly isReadOnly: boolean;
  private shownBytes = 0;

  constructor(ctx: CommandContext, table: CommandTable, isReadOnly: boolean) {
    this.ctx = ctx;
    this.table = table;
    this.isReadOnly = isReadOnly;
  }

  call(args: readonly Buffer[], resp: 2 | 3): Reply {
    const command = this.table.resolve(args);
    if (command?.spec.handler === undefined) throw new RedisError(UNKNOWN);
    const { spec } = command;
    if (!arityAccepts(spec.arity, args.length)) {
      throw new RedisError('ERR Wrong number of args calling Redis command from script');
    }
    if (spec.flags.includes('noscript')) throw new RedisError('ERR This Redis command is not allowed from script');
    this.checkCaller(command, args);
    if (this.isReadOnly && spec.flags.includes('write')) throw new RedisError(READ_ONLY);
    try {
      const here = ANSWERED_HERE[spec.name];
      if (here !== undefined) return here(this, args);
      const ctx = this.ctx.nested(this.ctx.keyspace.db, resp);
      return command.spec.handler.kind === 'data' ? ctx.call(spec, args) : callOutside(ctx, command.fullName, args);
    } finally {
      if (this.ctx.isMonitored) this.show(args);
    }
  }

  /** Has those who watch see a call, behind what it has selected. */
  private show(args: readonly Buffer[]): void {
    this.shownBytes += args.reduce((sum, { length }) => sum + length, CALL_BYTES);
    if (this.shownBytes > MAX_SHOWN_BYTES) return;
    this.ctx.afterCommit({ kind: 'call', db: this.ctx.keyspace.db, args: args.map((arg) => Buffer.from(arg)) });
  }

  mayCall(args: readonly Buffer[]): boolean {
    const command = this.table.resolve(args);
    if (command?.spec.handler === undefined) {
      throw new RedisError('ERR Invalid command passed to redis.acl_check_cmd()');
    }
    return this.ctx.caller?.refusalOf(command, args) === undefined;
  }

  /** @throws RedisError when the user who has called the script may not run the command */
  private checkCaller(command: ResolvedCommand, args: readonly Buffer[]): void {
    const { caller } = this.ctx;
    const refusal = caller?.refusalOf(command, args);
    if (caller === undefined || refusal === undefined) return;
    const { userName, clientInfo } = caller;
    const object = refusal.object.toString('latin1');
    this.ctx.afterCommit({ kind: 'denied', reason: refusal.reason, object, userName, clientInfo });
    throw new RedisError(refusal.text);
  }

  log(level: ScriptLogLevel, text: string): void {
    this.ctx.afterCommit({ kind: 'log', level, text });
  }

  time(): Reply {
    const { nowMs } = this.ctx;
    return [String(Math.floor(nowMs / 1_000)), String((nowMs % 1_000) * MICROS_PER_MS)];
  }

  /** It leaves when the script has taken effect. */
  publish(channel: Buffer, message: Buffer, isShard: boolean): Reply {
    if (this.isReadOnly) throw new RedisError(READ_ONLY);
    this.ctx.afterCommit({ kind: 'message', isShard, channel: Buffer.from(channel), message: Buffer.from(message) });
    return this.ctx.receiversOf(channel, isShard);
  }

  select(argument: Buffer): Reply {
    const db = requireInt32(argument, errors.notInteger);
    if (db < 0 || db >= DATABASE_COUNT) throw errors.dbIndexOutOfRange();
    this.ctx = this.ctx.nested(db, this.ctx.resp);
    return OK;
  }
}
