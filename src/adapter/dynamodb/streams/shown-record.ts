/** Records as GetRecords answers them. */
import { createHash } from 'node:crypto';
import { physicalMs } from '../../../platform/index.ts';
import type { StreamViewType } from '../tables/index.ts';
import { itemSize, wireItem } from '../values/index.ts';
import { sequenceNumber } from './sequence.ts';
import type { PlacedRecord } from './shard-reader.ts';

const EVENT_ID_DIGITS = 32;

/**
 * @param shard id of the record's shard, and what names its stream: the same record has the same event id whoever reads it
 */
export function shownRecord(
  { place, record }: PlacedRecord,
  shard: string,
  viewType: StreamViewType,
  region: string,
): object {
  const { key, oldImage, newImage, wasThere, isThere } = record;
  const sequence = sequenceNumber(place);
  const images = [oldImage, newImage].flatMap((image) => image ?? []);
  return {
    eventID: createHash('sha256').update(`${shard}/${sequence}`).digest('hex').slice(0, EVENT_ID_DIGITS),
    eventName: !wasThere ? 'INSERT' : isThere ? 'MODIFY' : 'REMOVE',
    eventVersion: '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion: region,
    dynamodb: {
      ApproximateCreationDateTime: Math.floor(physicalMs(place.ts) / 1000),
      Keys: wireItem(key),
      NewImage: newImage === undefined ? undefined : wireItem(newImage),
      OldImage: oldImage === undefined ? undefined : wireItem(oldImage),
      SequenceNumber: sequence,
      SizeBytes: images.reduce((sum, image) => sum + itemSize(image), itemSize(key)),
      StreamViewType: viewType,
    },
    userIdentity: record.isByExpiry ? { Type: 'Service', PrincipalId: 'dynamodb.amazonaws.com' } : undefined,
  };
}
