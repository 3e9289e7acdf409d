/** The leader proxy for callers that wait for one answer each. */
import type { GroupId, Millis } from '../../platform/index.ts';
import type { KvService } from '../contract/index.ts';

/** `KvService.forward` as a promise: the handler's bytes. @throws what `forward` completes with */
export function forwarded(
  kv: Pick<KvService, 'forward'>,
  group: GroupId,
  service: string,
  payload: Buffer,
  deadlineMs: Millis,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    kv.forward(group, service, payload, deadlineMs, (error, reply) => {
      if (reply === undefined) reject(error);
      else resolve(reply);
    });
  });
}
