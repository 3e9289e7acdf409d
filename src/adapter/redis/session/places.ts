/** Whether a command may run where its client is connected. */
import { type CommandSpec, keyIndexes, mayWrite } from '../command/index.ts';
import { crossGroup, type Route, redirectElsewhere, refuseFoundElsewhere } from '../request/index.ts';
import type { Session } from './session.ts';

/** Who knows whether a command may run on several groups. */
export interface Crossing {
  mayRunAcross(spec: CommandSpec, args: readonly Buffer[]): boolean;
}

/**
 * @throws RedisError that says where its keys are, or that they may not be in several groups; TooLargeError
 */
export function checkPlace(
  session: Session,
  spec: CommandSpec,
  args: readonly Buffer[],
  route: Route,
  crossing: Crossing,
): void {
  if (session.redirects) refuseFoundElsewhere(spec, args, route.firstKey);
  if (route.crosses && !crossing.mayRunAcross(spec, args)) throw crossGroup();
  // Refused later it would be as well, after seconds of this node for a million of them.
  if (route.crosses && mayWrite(spec, args)) session.server.transactions?.checkKeys(keyIndexes(spec, args).length);
  if (session.redirects) redirectElsewhere(session, spec, session.db, route.firstKey);
}
