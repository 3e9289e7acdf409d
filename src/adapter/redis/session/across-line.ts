/**
 * Commands of one connection that run on several groups. One that writes does not wait for the answer of the one before: their turns keep their order, and what
 * waits for the same turn runs as one transaction. So a client that has many commands under way on one connection, as a queue's worker has, pays once for
 * several. Everything else waits until none is under way, and they wait for everything else.
 */
import { mayWrite, type ResolvedCommand } from '../command/index.ts';
import type { Reply } from '../protocol/index.ts';
import { type GroupRequest, keepsOrder, routeOf, runAlone, storageKeysOf } from '../request/index.ts';
import type { ServerState } from '../state/index.ts';
import type { Session } from './session.ts';

/** What the line needs of its connection. */
export interface AcrossHost {
  readonly server: ServerState;
  readonly session: Session;
  /** Runs a command that is not one operation on one group. */
  runOther(command: ResolvedCommand, args: readonly Buffer[], db: number): Reply | Promise<Reply>;
}

/** See the top of the file. */
export class AcrossLine {
  private readonly host: AcrossHost;
  /** Commands that keep their order by themselves, under way. */
  length = 0;

  constructor(host: AcrossHost) {
    this.host = host;
  }

  /** Whether a command may begin though others of the line are under way. @param routesVersion of the directory, that they were routed by */
  admits({ spec }: ResolvedCommand, args: readonly Buffer[], routesVersion: number): boolean {
    const { server, session } = this.host;
    if (server.kv.routesVersion !== routesVersion) return false;
    if (session.multi.isOpen || spec.handler?.kind !== 'data' || !mayWrite(spec, args)) return false;
    if (spec.waits?.patienceMs(args) !== undefined || !routeOf(server.kv, spec, args, session.db).crosses) return false;
    const storageKeys = storageKeysOf([{ spec, args, db: session.db }]);
    return server.turns.covers(storageKeys) && session.mayCross(() => storageKeys);
  }

  /**
   * Runs a request on all groups that its keys belong to, or aside. Only when `mayCross` or when it has to be built aside, and when nothing else but
   * the line is under way.
   */
  async run(request: GroupRequest): Promise<Reply> {
    const { server, session } = this.host;
    if (request.startedMs === 0) request.startedMs = server.clock.monotonicMs();
    try {
      return await runAlone(
        server,
        request,
        async ({ db, args }) => this.host.runOther(server.table.resolve(args)!, args, db),
        this,
      );
    } finally {
      session.noteSlow(request);
    }
  }

  /** Runs a request that is to keep its place by itself. @returns undefined when nothing else may be started before it is done */
  enter(request: GroupRequest): Promise<Reply> | undefined {
    if (!keepsOrder(this.host.server, request)) return undefined;
    this.length++;
    return this.run(request).finally(() => this.length--);
  }
}
