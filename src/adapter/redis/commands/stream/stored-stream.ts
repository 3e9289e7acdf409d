/** A stream as DUMP writes it and RESTORE makes it. */
import { MAX_ID, MIN_ID, type StreamBody, type StreamGroup } from '../../bodies/index.ts';
import type { RdbStream, RdbStreamGroup } from '../../rdb/index.ts';
import { isAbove } from './ids.ts';
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
  addRest(stream, stored);
  return stream;
}

/**
 * Adds entries behind those that a stream has, and groups, consumers and what is pending to its own.
 * @returns false, with nothing changed, when the entries do not lie behind those that are there
 */
export function addToStream(stream: StreamBody, stored: RdbStream): boolean {
  const [first] = stored.entries;
  const top = stream.lastEntryId;
  const isBehind =
    first === undefined ? top === undefined || !isAbove(top, stored.lastId) : isAbove(first.id, stream.lastId);
  if (!isBehind) return false;
  for (const { id, parts } of stored.entries) stream.add(id, parts);
  addRest(stream, stored);
  return true;
}

function addRest(stream: StreamBody, stored: RdbStream): void {
  stream.lastId = stored.lastId;
  stream.maxDeletedId = stored.maxDeletedId;
  stream.entriesAdded = stored.entriesAdded;
  for (const { name, lastDelivered, entriesRead, consumers, pending } of stored.groups) {
    const read = entriesRead ?? numberOf(stream, lastDelivered);
    const group = stream.group(name) ?? stream.createGroup(name, lastDelivered, read);
    group.lastDelivered = lastDelivered;
    group.entriesRead = read;
    const owners = new Map(
      consumers.map((consumer) => [
        consumer.name.toString('latin1'),
        group.consumer(consumer.name) ?? group.createConsumer(consumer.name, consumer.seenMs),
      ]),
    );
    for (const { id, consumer, deliveredMs, deliveries } of pending)
      group.assign(id, owners.get(consumer.toString('latin1'))!, deliveredMs, deliveries);
  }
}
