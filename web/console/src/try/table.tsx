// The rows of a table.

import { Component } from "preact";
import { plural } from "../format.js";
import { cell, columnsOf, type Row } from "./rows.js";

interface Props {
  /** The rows that are shown. */
  readonly rows: readonly Row[];
  /** Number of all rows. */
  readonly size: number;
  /** Names of columns that the schema declares. */
  readonly declared: readonly string[];
  readonly by: string;
}

/** Rows that are elements of the page at a time. */
export const MOST_ROWS = 200;
const MOST_COLUMNS = 30;
const SHORT = 120;

/** All rows of a table, each replaced by its newest value. */
export function TableView({ rows, size, declared, by }: Props) {
  const columns = columnsOf([by, ...declared], rows).slice(0, MOST_COLUMNS);
  return (
    <section class="try-table" aria-label="Table">
      <div class="try-scroll" tabIndex={0} role="region" aria-label="Rows">
        <table>
          <caption>
            {plural(size, "row")}
            {size > rows.length && `, of which the first ${rows.length} are shown`}
          </caption>
          <thead>
            <tr>
              {columns.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <RowView key={JSON.stringify(row.key)} row={row} columns={columns} by={by} />
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

interface RowProps {
  readonly row: Row;
  readonly columns: readonly string[];
  readonly by: string;
}

/** One row, which is rendered when it has changed. */
class RowView extends Component<RowProps> {
  override shouldComponentUpdate(next: RowProps): boolean {
    return next.row !== this.props.row || next.columns.length !== this.props.columns.length;
  }

  override render({ row, columns, by }: RowProps) {
    return (
      <tr>
        {columns.map((name) => {
          const value = name === by ? (cell(row.value, name) ?? row.key) : cell(row.value, name);
          const text = textOf(value);
          return name === by ? (
            <th key={name} scope="row">
              {text}
            </th>
          ) : (
            <td key={name} data-number={typeof value === "number"}>
              {text}
            </td>
          );
        })}
      </tr>
    );
  }
}

function textOf(value: unknown): string {
  const text = value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value);
  return text.length > SHORT ? `${text.slice(0, SHORT)}…` : text;
}
