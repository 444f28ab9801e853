import java.sql.*;
import java.util.*;

/** What a JDBC tool does with tarn: the calls of DatabaseMetaData that DBeaver makes, types, parameters, errors, cancel.
 *  Run with the driver on the class path: java -cp trino-jdbc.jar Probe.java host:port */
class Probe {
    static int checks;

    static void check(boolean ok, String what) {
        checks++;
        if (!ok) throw new AssertionError(what);
    }

    static void same(Object got, Object want, String what) {
        check(Objects.equals(String.valueOf(got), String.valueOf(want)), what + ": got " + got + ", want " + want);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> out = new ArrayList<>();
        while (rows.next()) out.add(rows.getString(name));
        return out;
    }

    static void metadata(Connection c) throws SQLException {
        DatabaseMetaData m = c.getMetaData();
        check(m.getDatabaseProductName().equals("Trino"), "product");
        check(!m.getDatabaseProductVersion().isEmpty() && m.getDatabaseMajorVersion() >= 0, "version");
        same(column(m.getCatalogs(), "TABLE_CAT"), List.of("hive", "system", "tarn"), "catalogs");
        same(column(m.getSchemas("hive", null), "TABLE_SCHEM"), List.of("default", "information_schema", "songs", "system"), "schemas");
        check(column(m.getSchemas(), "TABLE_SCHEM").contains("jdbc"), "all schemas");
        same(column(m.getTables("hive", "default", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"),
                List.of("events", "plays", "songs_chart"), "tables");
        same(column(m.getTables("hive", "def%", "songs\\_c%", null), "TABLE_NAME"), List.of("songs_chart"), "escaped pattern");
        ResultSet columns = m.getColumns("hive", "default", "events", "%");
        List<String> names = new ArrayList<>();
        while (columns.next()) {
            names.add(columns.getString("COLUMN_NAME") + ":" + columns.getInt("DATA_TYPE") + ":" + columns.getString("TYPE_NAME"));
            same(columns.getString("IS_NULLABLE"), "YES", "nullable");
        }
        same(names, List.of("id:-5:bigint", "ts:93:timestamp(3)", "country:12:varchar", "amount:8:double", "n:4:integer",
                "user_id:-5:bigint", "flag:16:boolean", "name:12:varchar"), "columns");
        same(column(m.getTableTypes(), "TABLE_TYPE"), List.of("TABLE", "VIEW"), "table types");
        check(column(m.getTypeInfo(), "TYPE_NAME").contains("bigint"), "types");
        same(column(m.getPrimaryKeys("hive", "default", "events"), "COLUMN_NAME"), List.of(), "primary keys");
        same(column(m.getImportedKeys("hive", "default", "events"), "FKCOLUMN_NAME"), List.of(), "imported keys");
        same(column(m.getProcedures("hive", null, null), "PROCEDURE_NAME"), List.of(), "procedures");
        same(column(m.getProcedureColumns("hive", null, null, null), "COLUMN_NAME"), List.of(), "procedure columns");
        same(column(m.getPseudoColumns("hive", null, null, null), "COLUMN_NAME"), List.of(), "pseudo columns");
        same(column(m.getUDTs("hive", null, null, null), "TYPE_NAME"), List.of(), "user types");
        same(column(m.getSuperTypes("hive", null, null), "TYPE_NAME"), List.of(), "super types");
        same(column(m.getSuperTables("hive", null, null), "TABLE_NAME"), List.of(), "super tables");
        same(column(m.getAttributes("hive", null, null, null), "ATTR_NAME"), List.of(), "attributes");
        check(m.getUserName().equals("probe"), "user");
        check(c.isValid(5), "valid");
    }

    static void types(Statement s) throws SQLException {
        ResultSet r = s.executeQuery("SELECT 1, BIGINT '9223372036854775807', 1.5E0, nan(), true, 'x', DECIMAL '1.50', X'00ff', "
                + "DATE '2024-01-02', TIMESTAMP '2024-01-02 03:04:05.678', ARRAY[1,2], MAP(ARRAY['a'],ARRAY[1]), ROW(1,'a'), "
                + "NULL, INTERVAL '1' DAY, JSON '{\"a\":1}', TIME '01:02:03', CAST(TIMESTAMP '2024-01-02 03:04:05' AS TIMESTAMP WITH TIME ZONE)");
        check(r.next(), "row");
        same(r.getInt(1), 1, "integer");
        same(r.getLong(2), Long.MAX_VALUE, "bigint");
        same(r.getDouble(3), 1.5, "double");
        check(Double.isNaN(r.getDouble(4)), "nan");
        check(r.getBoolean(5), "boolean");
        same(r.getBigDecimal(7), "1.50", "decimal");
        check(Arrays.equals(r.getBytes(8), new byte[] {0, -1}), "varbinary");
        same(r.getDate(9), "2024-01-02", "date");
        same(r.getTimestamp(10), "2024-01-02 03:04:05.678", "timestamp");
        same(Arrays.toString((Object[]) r.getArray(11).getArray()), "[1, 2]", "array");
        same(r.getObject(12), "{a=1}", "map");
        check(r.getObject(14) == null && r.wasNull(), "null");
        same(r.getString(16), "{\"a\":1}", "json");
        check(r.getTimestamp(18) != null, "timestamp with time zone");
        ResultSetMetaData m = r.getMetaData();
        same(m.getColumnName(1) + m.getColumnTypeName(7) + m.getColumnType(10), "_col0decimal(3,2)93", "result metadata");
        check(!r.next(), "one row");
    }

    static void parameters(Connection c) throws SQLException {
        try (PreparedStatement p = c.prepareStatement("SELECT count(*), ?, ?, ?, ? FROM events WHERE country = ? AND n < ? AND ts >= ?")) {
            p.setByte(1, (byte) 7);
            p.setShort(2, (short) 300);
            p.setFloat(3, 1.5f);
            p.setNull(4, Types.VARCHAR);
            p.setString(5, "FR");
            p.setInt(6, 5);
            p.setTimestamp(7, Timestamp.valueOf("2024-01-01 00:00:00"));
            ResultSet r = p.executeQuery();
            check(r.next() && r.getLong(1) > 0, "parameters");
            same(r.getInt(2) + r.getInt(3), 307, "small integers");
            same(p.getParameterMetaData().getParameterCount(), 7, "parameter count");
            same(p.getMetaData().getColumnCount(), 5, "prepared columns");
        }
    }

    static void errors(Connection c, Statement s) throws SQLException {
        try {
            s.executeQuery("SELECT * FROM nosuch");
            check(false, "no error");
        } catch (SQLException e) {
            same(e.getErrorCode(), 46, "error code");
            check(e.getMessage().contains("line 1:15: Table 'hive.default.nosuch' does not exist"), e.getMessage());
        }
        s.setQueryTimeout(1);
        try {
            s.executeQuery("SELECT count(*) FROM events a CROSS JOIN events b CROSS JOIN events c CROSS JOIN events d");
            check(false, "no timeout");
        } catch (SQLException e) {
            same(e.getErrorCode(), 131075, "timeout");
        }
        s.setQueryTimeout(0);
        s.setMaxRows(3);
        ResultSet r = s.executeQuery("SELECT id FROM events");
        same(column(r, "id").size(), 3, "max rows");
        s.setMaxRows(0);
        same(column(s.executeQuery("SELECT a.id FROM events a CROSS JOIN events b CROSS JOIN (VALUES 1, 2, 3) v(x)"), "id").size(), 120000, "pages");
        c.setAutoCommit(false);
        check(s.executeQuery("SELECT 1").next(), "in a transaction");
        c.commit();
        c.setAutoCommit(true);
        s.execute("USE songs");
        same(column(s.executeQuery("SELECT count FROM songs ORDER BY 1"), "count"), List.of("1", "2", "3"), "zone table");
    }

    public static void main(String[] args) throws Exception {
        Properties p = new Properties();
        p.setProperty("user", "probe");
        for (String extra : new String[] {"", "?explicitPrepare=false&disableCompression=true&validateConnection=true"}) {
            try (Connection c = DriverManager.getConnection("jdbc:trino://" + args[0] + "/hive/default" + extra, p); Statement s = c.createStatement()) {
                metadata(c);
                types(s);
                parameters(c);
                errors(c, s);
            }
        }
        System.out.println(checks + " checks");
    }
}
