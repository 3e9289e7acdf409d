/** A stream as DUMP writes it and RESTORE makes it. */
import { MAX_ID, MIN_ID, type StreamBody, type StreamGroup } from '../../bodies/index.ts';
import type { RdbStream, RdbStreamGroup } from '../../rdb/index.ts';
import { numberOf } from './progress.ts';

/** All of a stream. */
export const streamToStore = (stream: StreamBody): RdbStream => ({
  type: 'stream',
  entries: [...stream.range(MIN_ID, MAX_ID)],
  lastId: stream.lastId,
  maxDeletedId: stream.maxDeletedId,
  entriesAdded: stream.entriesAdded,
  groups: Array.from(stream.groups(), groupToStore),
});

function groupToStore(group: StreamGroup): RdbStreamGroup {
  const { name, lastDelivered, entriesRead } = group;
  const consumers = Array.from(group.consumers(), (consumer) => ({ name: consumer.name, seenMs: consumer.seenMs }));
  const pending = Array.from(group.pendingFrom(MIN_ID), (entry) => ({
    ...entry,
    consumer: group.consumerOf(entry.consumer).name,
  }));
  return { name, lastDelivered, entriesRead, consumers, pending };
}

/** Fills a stream that is new. */
export function restoreStream(stream: StreamBody, stored: RdbStream): StreamBody {
  stream.fill(stored.entries);
  stream.lastId = stored.lastId;
  stream.maxDeletedId = stored.maxDeletedId;
  stream.entriesAdded = stored.entriesAdded;
  for (const { name, lastDelivered, entriesRead, consumers, pending } of stored.groups) {
    const group = stream.createGroup(name, lastDelivered, entriesRead ?? numberOf(stream, lastDelivered));
    for (const consumer of consumers) group.createConsumer(consumer.name, consumer.seenMs);
    for (const { id, consumer, deliveredMs, deliveries } of pending)
      group.assign(id, group.consumer(consumer)!, deliveredMs, deliveries);
  }
  return stream;
}
