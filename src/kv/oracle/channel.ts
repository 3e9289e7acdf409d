/** Questions to the leader of any group from any node: without a message when it is this one, else through the proxy. */
import { type Clock, dispositionOf, type GroupId, type Millis } from '../../platform/index.ts';
import type { KvService } from '../contract/index.ts';
import type { FenceCommand } from '../time/index.ts';
import {
  decodeGrant,
  decodeOracleStatus,
  encodeOracleMessage,
  type Grant,
  ORACLE_SERVICE,
  type OracleMessage,
  type OracleStatus,
} from './codec.ts';
import type { OracleLeader } from './leader.ts';

type GetMessage = OracleMessage & { readonly kind: 'get' };
type GrantDone = (error: Error | undefined, grant: Grant | undefined) => void;

export interface OracleChannelOptions {
  readonly kv: Pick<KvService, 'forward'>;
  readonly leader: OracleLeader;
  readonly clock: Clock;
  /** How long one question looks for a leader and waits for its answer. */
  readonly timeoutMs?: Millis;
}

const DEFAULT_TIMEOUT_MS: Millis = 2_000;

/** See the top of the file. */
export class OracleChannel {
  private readonly options: OracleChannelOptions;

  constructor(options: OracleChannelOptions) {
    this.options = options;
  }

  /** Asks for timestamps. What fails here and now because leadership is over is asked again elsewhere. */
  get(message: GetMessage, done: GrantDone): void {
    const { leader } = this.options;
    if (!leader.leads(message.group)) {
      this.forwardGet(message, done);
      return;
    }
    const granted = (error: Error | undefined, grant?: Grant): void => {
      const isElsewhere = dispositionOf(error) === 'redirect';
      if (isElsewhere) this.forwardGet(message, done);
      else done(error, grant);
    };
    leader.get(message, granted);
  }

  private forwardGet(message: GetMessage, done: GrantDone): void {
    this.forward(message, (error, reply) => {
      let grant: Grant | undefined;
      try {
        grant = reply === undefined ? undefined : decodeGrant(reply);
      } catch (damage) {
        done(damage as Error, undefined);
        return;
      }
      done(error, grant);
    });
  }

  /** Where a group stands. */
  status(group: GroupId): Promise<OracleStatus> {
    return this.ask({ kind: 'status', group });
  }

  /** One step of a change of the authority in a group. */
  fence(group: GroupId, command: FenceCommand): Promise<OracleStatus> {
    return this.ask({ kind: 'fence', group, command });
  }

  private ask(message: OracleMessage): Promise<OracleStatus> {
    return new Promise((resolve, reject) => {
      this.forward(message, (error, reply) => {
        try {
          if (reply === undefined) reject(error);
          else resolve(decodeOracleStatus(reply));
        } catch (damage) {
          reject(damage);
        }
      });
    });
  }

  private forward(message: OracleMessage, done: (error: Error | undefined, reply: Buffer | undefined) => void): void {
    const { kv, clock, timeoutMs = DEFAULT_TIMEOUT_MS } = this.options;
    kv.forward(message.group, ORACLE_SERVICE, encodeOracleMessage(message), clock.monotonicMs() + timeoutMs, done);
  }
}
