create table conv2 (a tinytext, b text, c mediumtext, d longtext, e char(5), f varchar(10)) charset utf8mb3//
alter table conv2 convert to character set ucs2//
alter table conv2 convert to character set utf8mb4 collate utf8mb4_bin//
create table conv (a tinytext, b text, c mediumtext, d longtext, e char(5), f varchar(10), g varchar(20000), h enum('a','b'), i set('x','y'), j blob, k json, l varchar(5) charset latin1, m int, n text charset ascii, o binary(3)) charset latin1//
alter table conv convert to character set utf8mb3//
alter table conv modify g varchar(20000) charset latin1//
set sql_mode=''//
alter table conv convert to character set utf8mb4//
set sql_mode=default//
alter table conv convert to character set latin1//
alter table conv modify g varchar(20000) charset latin1//
set sql_mode=''//
alter table conv add p char(3) charset latin1, convert to character set utf8mb4//
set sql_mode=default//
alter table conv modify l varchar(7) charset ascii, convert to character set latin1//
alter table conv default character set utf8mb4, add q char(4), add r char(4) charset latin1//
alter table conv default character set = latin1//
alter table conv add s char(4), modify f varchar(12)//
alter table conv collate utf8mb4_bin, add t char(4)//
alter database nasty character set latin1//
alter table conv convert to character set default//
create table dbdefault (a char(3), b text)//
create table if not exists dbdefault (a int)//
create database if not exists nasty character set ascii//
create table dbdefault2 (a char(3))//
alter database nasty character set = utf8mb4 collate = utf8mb4_bin//
alter schema default collate utf8mb4_unicode_ci//
create table bin (a char(3), b varchar(4), c text, d tinytext, e enum('a ','b'), f text(100), g longtext, h char(2) charset utf8mb4) charset binary//
alter table bin convert to character set latin1//
alter table bin convert to character set binary//
alter table bin add i char(4), add j mediumtext collate utf8mb4_bin, add k varchar(3) byte, add l text(70) byte//
create table sizes (a text(63), b text(64), c text(16383), d text(16384), e blob(255), f blob(256), g blob(65536), h text(255) charset latin1, i text(256) charset latin1, j blob(0), jj text(0), k long byte, l long varchar charset latin1, m tinytext byte)//
set sql_mode=''//
create table big (a varchar(70000), b varbinary(70000), c varchar(65536) charset latin1, d varchar(16384), e varchar(30000) charset latin1)//
alter table big convert to character set utf8mb4//
create table big2 (a varchar(40000) charset latin1)//
alter table big2 convert to character set utf8mb3//
set sql_mode=default//
create table places (a int, b int, c int)//
alter table places modify a int after b, modify b int after c//
alter table places modify c int first, add d int after c, change a aa int after d//
alter table places add e int first, add f int after e, drop b//
alter table places change c cc int, add g int after cc//
alter table places rename column cc to hh, add i int after hh, modify f bigint after i//
alter table places drop d, add d varchar(3) first//
alter table places rename column e to f, rename column f to e//
alter table places change e f int after hh, change f e bigint first//
alter table places add (x int, y int, primary key (y, x)), drop aa//
alter table places drop x//
alter table places drop primary key, add z int primary key first//
alter table places change z zz int//
alter table places rename column zz to `Z`//
alter table places drop `z`//
alter table places add k1 int key//
drop index `primary` on places//
alter table places add primary key (k1)//
alter table places drop index `PRIMARY`, add constraint pk primary key pk using btree (k1 desc) comment 'x'//
alter table places drop constraint `PRIMARY`//
alter table places modify k1 int null//
alter table places modify k1 int primary key//
create table prefix (a varchar(20), b text, primary key (a(5), b(7)))//
alter table prefix add c int//
alter table prefix drop b//
create table auto0 (a int serial default value)//
create table auto (a int auto_increment null unique, b int)//
create table auto2 (a int null auto_increment unique)//
create table auto3 (a smallint unsigned serial default value)//
create table likeauto like auto//
create table likegen like n06//
create table keyed (a int, b int unique key, c int not null, primary key (C, A))//
alter table keyed modify a bigint, rename column c to d//
set sql_generate_invisible_primary_key=1//
create table gipk (a int)//
create table gipk2 like gipk//
create table gipk3 select 1 as q//
alter table gipk drop column my_row_id, add primary key (a)//
alter table gipk2 alter column my_row_id set visible//
set sql_generate_invisible_primary_key=0//
create table gen (a int, b int as (a + 1), c int as (a) stored not null, d varchar(9) collate utf8mb4_bin generated always as (concat(a, ')')) virtual)//
alter table gen modify b int as (a + 2), add e int generated always as (a) virtual first, drop d//
alter table gen modify c int not null//
create table parts (a int, b int) partition by range (a) (partition p0 values less than (10), partition p1 values less than (20), partition p2 values less than maxvalue)//
create table part (a int, b int)//
alter table parts exchange partition p0 with table part without validation//
alter table parts exchange partition p1 with table nasty.part//
alter table parts rebuild partition all//
alter table parts rebuild partition p0, p1//
alter table parts optimize partition p0//
alter table parts drop partition p1//
alter table parts reorganize partition p2 into (partition p3 values less than (30), partition p4 values less than maxvalue)//
alter table parts remove partitioning//
alter table parts partition by linear key algorithm = 2 (a) partitions 3//
alter table parts add partition partitions 2//
alter table parts coalesce partition 1//
alter table parts discard partition p0 tablespace//
alter table part discard tablespace//
create table numbers (a decimal(5), b decimal(0), c decimal, d float(24), e float(25), f float(5,2), g double(9,3) unsigned, i bit, j year, k time(3), l decimal(5,0) zerofill, m tinyint(1) unsigned, n bool default true, o int default +5, p double default -1.5e-3, q double default 1e10, r double default .5e2, s int default 0b11, u varchar(3) default n'x', v varchar(9) default _latin1 x'41')//
create table enums (a enum('a','b ','c''d','\\e','\n','%\%') , b set("x y",'z') charset latin1, c enum('é','ü') charset latin1)//
create table enums2 (a enum('a','b ','c''d','\\e','\n','%\%') , b set("x y",'z') charset latin1, c enum('é','ü') charset latin1)//
alter table enums2 modify a enum('a','b','z'), modify b set('z') character set utf8mb4 collate utf8mb4_bin//
create table `t.q` (`t.q` int, `a``` int)//
alter table `t.q` rename column `t.q` to `A```, rename column `a``` to x//
create table reserved (after int, first int, column_ int)//
alter table reserved add x int after after, add y int after first, modify after bigint first//
alter table reserved order by after asc, first desc//
alter table reserved add check (x > 0), add constraint check (y > 0) not enforced, add constraint cc check (after > 0)//
alter table reserved alter check cc not enforced, alter constraint cc enforced, drop check reserved_chk_1//
alter table reserved add z int check (z > 1) not enforced not null comment 'x' after after, add w int constraint wc check (w > 1)//
create table n22 (a int)//
rename table reserved to r2, n22 to reserved, r2 to n22//
rename table n22 to `n 16`.n22//
alter table `n 16`.n22 rename n22//
alter table n22 rename to `n 16`.n23, rename to n22x, add q int//
drop database `n 16`//
create table mem (a int) engine=memory//
truncate mem//
create table dates (t date default '2020-01-01', u datetime default '2020-01-01 00:00:00')//
create table ts (a timestamp, b timestamp not null, c timestamp null, d timestamp(3) default current_timestamp(3) on update current_timestamp(3))//
create table fk (a int primary key, b int references mem (a) on delete set null on update no action, c int, index (c), constraint foreign key fx (c) references mem2 (a) match full on delete restrict)//
create table geo (a geometry not null srid 4326, b point, c geometrycollection, d multipolygon)//
alter table geo add spatial index (a), add e linestring not null srid 0 first//
create table opt (a int) engine innodb, comment='x' stats_persistent default pack_keys=1 max_rows 5 encryption 'N' autoextend_size=0//
alter table opt comment 'y' stats_persistent 0 auto_increment 7, engine=innodb row_format=dynamic, add b int, lock=shared, algorithm=copy//
alter table opt secondary_engine=null, alter column a set default (5), alter b set default 7//
