/**
 * What is to be done when the alarm of a body rings, which is when its row expires: the leader of the key, which deletes what has expired, asks
 * here first.
 */
import type { KeyView } from '../../../../kv/index.ts';
import { bodyOf, ValueForm } from '../../keys/index.ts';
import { readValue, ValueType } from '../../values/index.ts';
import { LargeNames } from '../names/index.ts';
import { type BodyAccess, decodeHead, HeadPlace, RowKind } from '../rows/index.ts';
import { StreamBody } from '../stream/index.ts';

/**
 * The work that the expiry of a row calls for; undefined for rows that just go.
 * @param access to bodies by their storage keys, over a view of the row's group
 */
export function alarmWork(key: Buffer, access: (view: KeyView) => BodyAccess): ((view: KeyView) => void) | undefined {
  const body = bodyOf(key);
  if (body === undefined || key[body.headLength] !== RowKind.Alarm) return undefined;
  const headKey = key.subarray(0, body.headLength);
  return (view) => ring(access(view), headKey, key, body.incarnation);
}

function ring(access: BodyAccess, headKey: Buffer, alarmKey: Buffer, incarnation: Buffer): void {
  const value = readValue(access, headKey);
  const type = value?.type;
  const head = type === ValueType.Hash || type === ValueType.Stream ? decodeHead(value!) : undefined;
  if (head?.form !== ValueForm.Large || !head.incarnation.equals(incarnation)) {
    // The body has gone, or was made anew.
    access.view.delete(alarmKey);
    return;
  }
  const place = new HeadPlace(access, headKey, head.type, { head, expireTs: value!.expireTs });
  const body = type === ValueType.Hash ? new LargeNames(place, head, place.bits) : new StreamBody(place, head);
  body.ring();
  body.save('keep');
}
