/** What commands that wait need of their node. */
import type { Clock, Millis, Random, Scheduler } from '../../../platform/index.ts';
import type { WaiterId, WaitingKv } from './waiting-messages.ts';

export interface WaitingEnvironment {
  readonly kv: WaitingKv;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly commandTimeoutMs: Millis;
  /** A name that no other waiter of any node has. */
  nextWaiter(): WaiterId;
}
