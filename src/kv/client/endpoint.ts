/** The group leader's end of the service `kv`. */
import type { KvService } from '../contract/index.ts';
import { submit } from '../forward/index.ts';
import { decodeMessage, encodeAnswer, encodePage, KV_SERVICE } from './codec.ts';
import { evaluateStep } from './operations.ts';

/** Starts to answer for the groups that this node leads; once, at start. */
export function serveKeys(kv: KvService): void {
  kv.onForward(KV_SERVICE, (payload, answer) => {
    let reply: Promise<Buffer>;
    try {
      const message = decodeMessage(payload);
      reply =
        message.kind === 'page'
          ? kv.scan(message.group, message.page).then(encodePage)
          : submit(kv, message.group, (view) => evaluateStep(view, message.step)).then(encodeAnswer);
    } catch (error) {
      answer(error as Error, undefined);
      return;
    }
    reply.then(
      (bytes) => answer(undefined, bytes),
      (error: Error) => answer(error, undefined),
    );
  });
}
