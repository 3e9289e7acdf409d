/** The group leader's end of the service `span`. */
import { assertNever, type GroupId } from '../../platform/index.ts';
import { NotLeaderError } from '../../raftengine/index.ts';
import type { KvService, SpanExecutor } from '../contract/index.ts';
import {
  decodeSpanMessage,
  encodeBackfillPage,
  encodeCapturePage,
  encodeImportOutcome,
  encodeJobState,
  encodeSpanReply,
  SPAN_SERVICE,
  type SpanMessage,
} from './codec.ts';

/** Starts to answer for this node's groups. @param spansOf the group's executor here, undefined when it has no replica */
export function serveSpans(
  kv: Pick<KvService, 'onForward'>,
  spansOf: (group: GroupId) => SpanExecutor | undefined,
): void {
  kv.onForward(SPAN_SERVICE, (payload, answer) => {
    const message = decodeSpanMessage(payload);
    const spans = spansOf(message.group);
    if (spans === undefined) {
      answer(new NotLeaderError(undefined), undefined);
      return;
    }
    run(spans, message).then(
      (reply) => answer(undefined, reply),
      (error: Error) => answer(error, undefined),
    );
  });
}

async function run(spans: SpanExecutor, message: SpanMessage): Promise<Buffer> {
  switch (message.kind) {
    case 'command':
      return encodeSpanReply(await spans.command(message.request));
    case 'job':
      return encodeJobState(await spans.job(message.job));
    case 'backfill':
      return encodeBackfillPage(await spans.backfill(message.request));
    case 'captured':
      return encodeCapturePage(await spans.captured(message.job, message.from, message.maxBytes));
    case 'import':
      return encodeImportOutcome(await spans.import(message.request));
    default:
      return assertNever(message);
  }
}
