// A table that a narrow window scrolls, for names that are broken to pieces cannot be read.

import type { ComponentChildren } from "preact";

/** `columns`: headings; one that begins with `#` is of figures. */
type Props = { label: string; columns: readonly string[]; many?: boolean; children: ComponentChildren };

export function Wide({ label, columns, many = false, children }: Props) {
  return (
    <div class={many ? "wide many" : "wide"} role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map((each) => (
              <th scope="col" key={each} class={each.startsWith("#") ? "figure" : ""}>
                {each.replace("#", "")}
              </th>
            ))}
          </tr>
        </thead>
        {children}
      </table>
    </div>
  );
}
