// Tables that are sorted by a column.

import { useRef, useState } from "preact/hooks";

export interface Column<T> {
  id: string;
  /** Empty for a column that needs no heading. */
  label: string;
  /** Further words for the heading. */
  note?: string;
  /** Returns what a row is sorted by; a column without it cannot be sorted by. */
  by?: (row: T) => number | string;
  isFigure?: boolean;
  /** True for figures that have few digits. */
  isShort?: boolean;
}

export interface Order {
  id: string;
  isDescending: boolean;
}

/** A live table is sorted again after this many milliseconds: rows that move each second cannot be read. */
const KEEP = 5000;

/** Sorts rows by the column that the reader has chosen, at first not at all. */
export function useOrder<T>(rows: T[], columns: Column<T>[], nameOf: (row: T) => string) {
  const [order, setOrder] = useState<Order | null>(null);
  const kept = useRef({ at: 0, order, names: new Map<string, number>() });
  const column = columns.find(({ id }) => id === order?.id);
  if (!order || !column?.by) {
    return { ordered: rows, order, setOrder };
  }
  const now = performance.now();
  const isNew = kept.current.order !== order || rows.some((row) => !kept.current.names.has(nameOf(row)));
  if (isNew || now - kept.current.at > KEEP) {
    const sorted = rows.map((row) => [column.by?.(row) ?? 0, row] as const).sort(([a], [b]) => compare(a, b));
    const ordered = (order.isDescending ? sorted.reverse() : sorted).map(([, row]) => nameOf(row));
    kept.current = { at: now, order, names: new Map(ordered.map((name, index) => [name, index])) };
  }
  const { names } = kept.current;
  const ordered = [...rows].sort((a, b) => (names.get(nameOf(a)) ?? 0) - (names.get(nameOf(b)) ?? 0));
  return { ordered, order, setOrder };
}

function compare(a: number | string, b: number | string): number {
  return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en");
}

interface HeadProps<T> {
  columns: Column<T>[];
  order: Order | null;
  onOrder: (order: Order) => void;
}

/** The headings of the columns; those that can be sorted by are buttons. */
export function Head<T>({ columns, order, onOrder }: HeadProps<T>) {
  return (
    <>
      {columns.map(({ id, label, note, by, isFigure = false, isShort = false }) => {
        const isOwn = order?.id === id;
        const sort = isOwn ? (order.isDescending ? "descending" : "ascending") : undefined;
        // Large figures are of interest first; names begin with A.
        const next = { id, isDescending: isOwn ? !order.isDescending : isFigure };
        if (!label) {
          return <td key={id} class="sparkline" />;
        }
        return (
          <th key={id} scope="col" class={isFigure ? `figure ${isShort ? "short" : ""}` : undefined} aria-sort={sort}>
            {by ? (
              <button type="button" class="sort" onClick={() => onOrder(next)}>{label}</button>
            ) : (
              label
            )}
            {note && <small>{note}</small>}
          </th>
        );
      })}
    </>
  );
}
