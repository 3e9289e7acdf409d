/**
 * The first of many items in order, without sorting the rest: SORT with a LIMIT. The best ones so far are a heap with the worst of them on top, and
 * most items are compared with that one only.
 */

/** From this share of all on, sorting everything is as fast. */
const LARGE_SHARE = 4;

/**
 * @param count how many are wanted
 * @param compare must tell any two items apart
 * @returns at most `count` items in order; `items` may be another order afterwards
 */
export function firstInOrder<Item>(
  items: Item[],
  count: number,
  compare: (one: Item, other: Item) => number,
): readonly Item[] {
  if (count * LARGE_SHARE >= items.length) return items.sort(compare).slice(0, count);
  if (count <= 0) return [];
  const heap = items.slice(0, count);
  for (let at = (count >>> 1) - 1; at >= 0; at--) sink(heap, at, compare);
  for (let at = count; at < items.length; at++) {
    if (compare(items[at]!, heap[0]!) >= 0) continue;
    heap[0] = items[at]!;
    sink(heap, 0, compare);
  }
  return heap.sort(compare);
}

/** Moves an item down to where nothing below it comes behind it. */
function sink<Item>(heap: Item[], from: number, compare: (one: Item, other: Item) => number): void {
  const item = heap[from]!;
  let at = from;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && compare(heap[child + 1]!, heap[child]!) > 0) child++;
    if (compare(heap[child]!, item) <= 0) break;
    heap[at] = heap[child]!;
    at = child;
  }
  heap[at] = item;
}
